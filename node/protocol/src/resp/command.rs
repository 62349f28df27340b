//! Writes commands in their canonical form, an array of bulk strings: for the log, for links to masters, for clients.

use super::reply::push_head;

/// Appends one command to `out`. The canonical form is the only one, so equal arguments are equal bytes.
pub fn encode_command(out: &mut Vec<u8>, args: &[impl AsRef<[u8]>]) {
    let bytes: usize = args.iter().map(|arg| arg.as_ref().len() + HEAD_BYTES_TYPICAL).sum();
    out.reserve(bytes + HEAD_BYTES_TYPICAL);
    let mut writer = CommandWriter::begin(out, args.len());
    for arg in args {
        writer.arg(arg.as_ref());
    }
    writer.finish();
}

/// What a short argument costs besides its bytes: `$16\r\n` and `\r\n`, rounded up.
const HEAD_BYTES_TYPICAL: usize = 8;

/// Appends one command argument by argument, where no slice of slices exists.
///
/// The count is written first and therefore promised: [`CommandWriter::finish`] panics if it was not kept.
#[must_use = "a command is whole only after `finish`"]
pub struct CommandWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Arguments still owed; one less with each.
    left: usize,
}

impl<'a> CommandWriter<'a> {
    /// Begins a command of `args` arguments, its name included.
    #[inline]
    pub fn begin(out: &'a mut Vec<u8>, args: usize) -> Self {
        push_head(out, b'*', args as i64);
        Self { out, left: args }
    }

    /// The next argument.
    #[inline]
    pub fn arg(&mut self, bytes: &[u8]) -> &mut Self {
        assert!(self.left > 0, "a command got more arguments than it announced");
        self.left -= 1;
        self.out.reserve(bytes.len() + 24);
        push_head(self.out, b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// The next argument, a decimal number.
    #[inline]
    pub fn integer(&mut self, n: i64) -> &mut Self {
        let mut buffer = itoa::Buffer::new();
        self.arg(buffer.format(n).as_bytes())
    }

    /// The next argument, a decimal number without sign.
    #[inline]
    pub fn unsigned(&mut self, n: u64) -> &mut Self {
        let mut buffer = itoa::Buffer::new();
        self.arg(buffer.format(n).as_bytes())
    }

    /// Ends the command. Panics if arguments are missing: the stream would be damaged for whoever reads it.
    #[inline]
    pub fn finish(&self) {
        assert!(self.left == 0, "a command got fewer arguments than it announced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_write_the_same_bytes() {
        let mut whole = Vec::new();
        encode_command(&mut whole, &["SET", "key", "-5", ""]);
        assert_eq!(whole, b"*4\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2\r\n-5\r\n$0\r\n\r\n");
        let mut pieces = Vec::new();
        let mut writer = CommandWriter::begin(&mut pieces, 4);
        writer.arg(b"SET").arg(b"key").integer(-5).arg(b"").finish();
        assert_eq!(whole, pieces);
    }

    #[test]
    fn long_arguments_and_many() {
        let mut out = Vec::new();
        let value = vec![b'x'; 12_345];
        encode_command(&mut out, &[&value; 12]);
        assert!(out.starts_with(b"*12\r\n$12345\r\nxxx"));
        assert_eq!(out.len(), 5 + 12 * (8 + 12_345 + 2));
    }

    #[test]
    #[should_panic(expected = "fewer arguments")]
    fn a_broken_promise_is_a_defect() {
        CommandWriter::begin(&mut Vec::new(), 2).arg(b"x").finish();
    }
}
