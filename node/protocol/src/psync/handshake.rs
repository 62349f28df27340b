//! The bytes that a replica sends on a link, and the two that a master puts into its stream.
//!
//! From Redis 6.2 on, a replica sends AUTH and all REPLCONF in one go and then reads the answers in order; older ones
//! wait for each. Either way each of these is one command with one answer, except ACK, which has none.

use super::Capability;
use crate::resp::{CommandWriter, encode_command};
use crate::{NextOffset, Offset, ReplicationId};

/// The PING with which a handshake begins.
pub const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// The PING in a master's stream, which counts in the offset.
pub const STREAM_PING: &[u8] = b"*1\r\n$4\r\nping\r\n";
/// `REPLCONF GETACK *` in a master's stream, which counts in the offset too.
pub const STREAM_GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";
/// The request for a full synchronisation that masters before PSYNC understand, inline as Redis sends it.
pub const SYNC: &[u8] = b"SYNC\r\n";

/// `AUTH [user] password`.
pub fn write_auth(out: &mut Vec<u8>, user: Option<&[u8]>, password: &[u8]) {
    match user {
        Some(user) => encode_command(out, &[&b"AUTH"[..], user, password]),
        None => encode_command(out, &[&b"AUTH"[..], password]),
    }
}

/// `REPLCONF listening-port`: where clients and Sentinel reach this replica.
pub fn write_listening_port(out: &mut Vec<u8>, port: u16) {
    CommandWriter::begin(out, 3).arg(b"REPLCONF").arg(b"listening-port").unsigned(port.into()).finish();
}

/// `REPLCONF ip-address`: only where the address that the master sees is not the one to tell others.
pub fn write_ip_address(out: &mut Vec<u8>, address: &[u8]) {
    encode_command(out, &[&b"REPLCONF"[..], b"ip-address", address]);
}

/// `REPLCONF capa ... capa ...`: all capabilities in one command.
pub fn write_capabilities(out: &mut Vec<u8>, capabilities: &[Capability]) {
    let mut writer = CommandWriter::begin(out, 1 + 2 * capabilities.len());
    writer.arg(b"REPLCONF");
    for capability in capabilities {
        writer.arg(b"capa").arg(capability.name().as_bytes());
    }
    writer.finish();
}

/// `REPLCONF version x.y.z`: known to Valkey, which chooses the snapshot's version by it; others answer with an error.
pub fn write_version(out: &mut Vec<u8>, version: &str) {
    encode_command(out, &["REPLCONF", "version", version]);
}

/// `REPLCONF ACK offset [FACK offset]`: what has been applied, and what is safe on disk if that is tracked.
pub fn write_ack(out: &mut Vec<u8>, applied: Offset, durable: Option<Offset>) {
    let mut writer = CommandWriter::begin(out, if durable.is_some() { 5 } else { 3 });
    writer.arg(b"REPLCONF").arg(b"ACK").unsigned(applied.get());
    if let Some(durable) = durable {
        writer.arg(b"FACK").unsigned(durable.get());
    }
    writer.finish();
}

/// `PSYNC id offset [FAILOVER]`: `from` is the lineage and the first byte wanted; without it everything (`? -1`).
/// `failover` asks a replica that is in step with us to become the master.
pub fn write_psync(out: &mut Vec<u8>, from: Option<(ReplicationId, NextOffset)>, failover: bool) {
    let mut writer = CommandWriter::begin(out, if failover { 4 } else { 3 });
    writer.arg(b"PSYNC");
    match from {
        Some((id, next)) => writer.arg(id.as_str().as_bytes()).unsigned(next.get()),
        None => writer.arg(b"?").integer(-1),
    };
    if failover {
        writer.arg(b"FAILOVER");
    }
    writer.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).replace("\r\n", " ")
    }

    #[test]
    fn the_handshake_as_a_stock_replica_sends_it() {
        // The form in which a redis-server 7.0.15 sends them once told REPLICAOF; line ends as blanks.
        assert_eq!(
            written(|out| write_listening_port(out, 6379)),
            "*3 $8 REPLCONF $14 listening-port $4 6379 "
        );
        assert_eq!(
            written(|out| write_capabilities(out, &[Capability::Eof, Capability::Psync2])),
            "*5 $8 REPLCONF $4 capa $3 eof $4 capa $6 psync2 "
        );
        assert_eq!(written(|out| write_ip_address(out, b"::1")), "*3 $8 REPLCONF $10 ip-address $3 ::1 ");
        assert_eq!(written(|out| write_auth(out, None, b"pw")), "*2 $4 AUTH $2 pw ");
        assert_eq!(written(|out| write_auth(out, Some(b"me"), b"pw")), "*3 $4 AUTH $2 me $2 pw ");
        assert_eq!(written(|out| write_ack(out, Offset::new(14), None)), "*3 $8 REPLCONF $3 ACK $2 14 ");
    }

    #[test]
    fn requests_for_a_stream() {
        let id = ReplicationId::from_random([0xab; 20]);
        assert_eq!(
            written(|out| write_psync(out, Some((id, NextOffset::new(501))), false)),
            format!("*3 $5 PSYNC $40 {id} $3 501 ")
        );
        assert_eq!(written(|out| write_psync(out, None, false)), "*3 $5 PSYNC $1 ? $2 -1 ");
        assert_eq!(
            written(|out| write_psync(out, Some((id, NextOffset::FIRST)), true)),
            format!("*4 $5 PSYNC $40 {id} $1 1 $8 FAILOVER ")
        );
        assert_eq!(
            written(|out| write_ack(out, Offset::new(5), Some(Offset::new(3)))),
            "*5 $8 REPLCONF $3 ACK $1 5 $4 FACK $1 3 "
        );
        assert_eq!(written(|out| write_version(out, "9.1.2")), "*3 $8 REPLCONF $7 version $5 9.1.2 ");
    }
}
