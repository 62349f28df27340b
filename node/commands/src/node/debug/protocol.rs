//! DEBUG PROTOCOL: one reply of each type, for those who test a client.

use rejoin_protocol::resp::RespVersion;

use crate::{Call, Failure};

#[allow(clippy::approx_constant, reason = "these are the digits that Redis replies")]
const DOUBLE: f64 = 3.141;
const BIG_NUMBER: &str = "1234567999999999999999999999999999999";

/// DEBUG PROTOCOL type
pub(super) fn protocol(call: &mut Call<'_>) -> Result<(), Failure> {
    let is_resp3 = call.session.version == RespVersion::Three;
    let kind = call.args[2].to_ascii_lowercase();
    let mut reply = call.session.reply();
    match kind.as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(DOUBLE),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => {
            if is_resp3 {
                // No command of ours has attributes, so there is no writer for them.
                reply.raw(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !is_resp3 {
                return Err(Failure::text("ERR RESP2 is not supported by this command"));
            }
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            // A push is no reply: the request still gets its own.
            reply.bulk(b"Some real reply following the push reply");
        }
        b"bignum" if is_resp3 => reply.raw(format!("({BIG_NUMBER}\r\n").as_bytes()),
        b"bignum" => reply.bulk(BIG_NUMBER.as_bytes()),
        b"verbatim" => reply.verbatim(b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => {
            return Err(Failure::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
