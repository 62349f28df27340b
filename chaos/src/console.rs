//! Where the experiments print: one place, so that nothing else writes to standard output.

use std::fmt::Display;
use std::io::Write;

/// Prints one line and flushes it, so that progress shows when standard output is a pipe. A closed pipe is ignored:
/// whoever stopped reading does not want the rest.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Bytes as redis-cli would quote them: printable ASCII as it is, everything else escaped. Long values are cut, with
/// their length stated.
#[must_use]
pub fn quoted(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 100;
    let mut text = String::from("\"");
    for &byte in bytes.iter().take(SHOWN_MAX) {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    if bytes.len() > SHOWN_MAX {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}
