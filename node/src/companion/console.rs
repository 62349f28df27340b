//! Where a subcommand prints and asks.

use std::{
    fmt,
    io::{self, BufRead, Write},
};

/// What a subcommand ends with: done, or the last line that is printed before it fails. An empty one is not.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Standard output and input, or a test's.
pub(crate) struct Console<'a> {
    input: Box<dyn BufRead + 'a>,
    output: Box<dyn Write + 'a>,
}

impl<'a> Console<'a> {
    pub(crate) fn new(input: impl BufRead + 'a, output: impl Write + 'a) -> Self {
        Self { input: Box::new(input), output: Box::new(output) }
    }

    /// Prints a line, unless it is empty. The reader may have gone (`| head`): the check goes on for its exit status.
    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        let text = text.to_string();
        if !text.is_empty() {
            let _ = writeln!(self.output, "{text}");
        }
    }

    /// Asks whether to go on; only a `y` is a yes.
    pub(crate) fn asks(&mut self, question: &str) -> bool {
        let _ = write!(self.output, "{question} [y/N]: ");
        let _ = self.output.flush();
        let mut answer = [0];
        let read = self.input.read_exact(&mut answer);
        read.is_ok() && answer[0].eq_ignore_ascii_case(&b'y')
    }
}

/// What went wrong, in the system's words alone.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
