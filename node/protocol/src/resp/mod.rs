//! RESP2 and RESP3: [`request`] reads what clients and masters send, [`reply`] writes what they get back.

pub mod reply;
pub mod request;

pub use reply::{ReplyWriter, RespVersion};
pub use request::{ArgRange, RequestError, RequestLimits, RequestParser};
