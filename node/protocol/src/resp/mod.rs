//! RESP2 and RESP3: [`request`] reads what clients and masters send, [`reply`] writes what they get back;
//! [`command`] and [`response`] are the other ends of the two, for the log, links to masters, tests and tools.

pub mod command;
pub mod inline;
pub mod reply;
pub mod request;
pub mod response;

pub use command::{CommandWriter, encode_command};
pub use inline::{UnbalancedQuotes, split_args};
pub use reply::{ReplyWriter, RespVersion};
pub use request::{ArgRange, RequestError, RequestLimits, RequestParser, RequestSource};
pub use response::{Response, ResponseError, ResponseParser};
