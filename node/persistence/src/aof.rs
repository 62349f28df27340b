//! The scanner of append-only files: where their commands end, and what is wrong with them.
//!
//! A log file is RESP commands one after the other, between them lines that begin with `#` (annotations; Redis writes
//! `#TS:<seconds>`). [`Scanner`] is fed a file's bytes in pieces of any size and keeps a few words of state, however long
//! the arguments are. It executes nothing and knows no commands but MULTI, EXEC and SELECT.
//!
//! It is strict where Redis' readers are lenient by accident: a number has no blanks and no plus before it, a command has
//! an argument, an annotation ends. What it accepts, redis-check-aof accepts, and so does Redis when it loads.
//!
//! A file that begins with an RDB ([`is_rdb`]) is scanned from that one's end on.

mod error;
mod parts;
#[cfg(test)]
mod tests;

pub use error::{AofError, AofFlaw};

use rejoin_protocol::DbIndex;

use parts::{Annotation, Argument, CommandKind, Number, whole_command};

/// The longest annotation, with its end. Redis takes what follows for something else.
pub const ANNOTATION_BYTES_MAX: u64 = 1023;

/// Whether a file that begins so begins with an RDB; its first nine bytes tell.
#[must_use]
pub fn is_rdb(head: &[u8]) -> bool {
    let is_long_enough = head.len() >= 8;
    is_long_enough && (head.starts_with(b"REDIS") || head.starts_with(b"VALKEY"))
}

/// Walks through the commands of an append-only file.
///
/// ```
/// # use rejoin_persistence::aof::Scanner;
/// let mut scanner = Scanner::new(0);
/// scanner.push(b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$5\r\nMULTI\r\n").expect("nothing wrong");
/// scanner.push(b"*1\r\n$4\r").expect("nothing wrong so far");
/// assert_eq!((scanner.border(), scanner.position()), (23, 45));
/// assert_eq!(scanner.selected_db().map(|db| db.get()), Some(3));
/// assert!(scanner.finish().expect_err("a tail that is torn").is_torn);
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    place: Place,
    /// The next byte's place in the file.
    at: u64,
    /// Up to here all is whole.
    border: u64,
    /// What SELECT chose last, and what it had chosen at `border`.
    selected: Option<DbIndex>,
    selected_at_border: Option<DbIndex>,
    /// Between MULTI and EXEC.
    is_in_multi: bool,
    /// Of the command at hand, unless it is read at once: its arguments, and how many of them are still to come.
    args: u64,
    args_left: u64,
    is_select: bool,
    /// Where the line or argument began that was looked at last, as Redis names places.
    element: u64,
    commands: u64,
    lines: u64,
    /// Annotations with a later time end the scan.
    time_max: Option<i64>,
    stopped: Option<u64>,
    error: Option<AofError>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A command or an annotation begins.
    Start,
    Annotation(Annotation),
    /// Behind `*`.
    Count(Number),
    /// An argument begins.
    Prefix,
    /// Behind `$`.
    Length(Number),
    /// An argument's bytes.
    Argument(Argument),
}

impl Scanner {
    /// A scanner of a file from the byte at `start` on, where a command or an annotation begins.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            place: Place::Start,
            at: start,
            border: start,
            selected: None,
            selected_at_border: None,
            is_in_multi: false,
            args: 0,
            args_left: 0,
            is_select: false,
            element: start,
            commands: 0,
            lines: 0,
            time_max: None,
            stopped: None,
            error: None,
        }
    }

    /// Stops at the first annotation `#TS:` that is later than `seconds` since 1970; one without a number is damage.
    #[must_use]
    pub fn until(self, seconds: i64) -> Self {
        Self { time_max: Some(seconds), ..self }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// The first damage, from then on always the same. Of a torn tail only [`Self::finish`] knows.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), AofError> {
        while self.error.is_none() && self.stopped.is_none() {
            if self.place == Place::Start {
                bytes = &bytes[self.whole_commands(bytes)..];
            }
            if bytes.is_empty() {
                break;
            }
            match self.step(bytes) {
                Ok(len) => {
                    self.at += len as u64;
                    bytes = &bytes[len..];
                    self.touch_border();
                }
                Err(flaw) => {
                    self.at = self.element;
                    self.error = Some(AofError { at: self.element, flaw, is_torn: false });
                }
            }
        }
        self.error.map_or(Ok(()), Err)
    }

    /// Says that the file ends here.
    ///
    /// # Errors
    /// The damage, else how the tail is torn, if the file does not end at a border.
    pub fn finish(&self) -> Result<(), AofError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.is_at_border() || self.stopped.is_some() {
            return Ok(());
        }
        let (flaw, is_torn) = match self.place {
            Place::Annotation(_) => (AofFlaw::AnnotationTorn, true),
            Place::Count(number) | Place::Length(number) => {
                (AofFlaw::LineEnd { got: number.got_at_end() }, !number.is_wrong())
            }
            Place::Argument(argument) => (argument.short(), true),
            Place::Start | Place::Prefix if self.is_in_multi => (AofFlaw::OpenMulti, true),
            Place::Start | Place::Prefix => (AofFlaw::MissingArguments { count: self.args_left }, true),
        };
        // Of what has not begun, the place is where it would.
        let at = if self.place == Place::Prefix { self.at } else { self.element };
        Err(AofError { at, flaw, is_torn })
    }

    /// How many bytes of the file are whole: up to the end of the last command or annotation outside MULTI.
    #[must_use]
    pub fn border(&self) -> u64 {
        self.border
    }

    /// How many bytes of the file were read, those before the start included; up to the line or argument
    /// that is damaged.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Whether the bytes read end at a border.
    #[must_use]
    pub fn is_at_border(&self) -> bool {
        self.border == self.at && self.error.is_none()
    }

    /// What the last SELECT up to the border chose; `None` if there was none.
    #[must_use]
    pub fn selected_db(&self) -> Option<DbIndex> {
        self.selected_at_border
    }

    /// The damage.
    #[must_use]
    pub fn error(&self) -> Option<AofError> {
        self.error
    }

    /// Where the annotation stands that [`Self::until`] stopped at; if that is within MULTI, where the transaction began.
    #[must_use]
    pub fn stopped(&self) -> Option<u64> {
        self.stopped
    }

    /// Commands read, those within MULTI and EXEC included.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Lines read, whole or not at a border, as redis-check-aof counts them: an argument's bytes are one, annotations
    /// none.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Reads as many commands as are whole and plain, and returns how many bytes they have. What is not, is left to
    /// [`Self::step`], which names the place.
    #[inline]
    fn whole_commands(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        while let Some(command) = whole_command(&bytes[read..]) {
            let kind = CommandKind::of(command.name);
            if kind != CommandKind::Other && self.begin(kind).is_err() {
                break;
            }
            if kind == CommandKind::Select && command.args == 2 {
                self.select(command.second);
            }
            self.element = self.at + command.last as u64;
            self.at += command.len as u64;
            self.lines += 1 + 2 * command.args;
            self.commands += 1;
            read += command.len;
            self.touch_border();
        }
        read
    }

    /// Reads on within one line or argument; returns how many bytes that took.
    #[cold]
    fn step(&mut self, bytes: &[u8]) -> Result<usize, AofFlaw> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        let mut len = 1;
        match &mut self.place {
            Place::Start => {
                self.element = self.at;
                self.place = match first {
                    b'*' => Place::Count(Number::default()),
                    b'#' => Place::Annotation(Annotation::default()),
                    got => return Err(AofFlaw::Format { got }),
                };
            }
            Place::Annotation(annotation) => {
                len = annotation.push(bytes)?;
                if annotation.is_whole() {
                    let time = self.time_max.map_or(Ok(None), |max| annotation.time_above(max))?;
                    self.place = Place::Start;
                    if time.is_some() {
                        self.stop();
                        return Ok(0);
                    }
                }
            }
            Place::Count(number) => {
                if let Some(count) = number.push(first)? {
                    self.begin_arguments(count)?;
                }
            }
            Place::Prefix => {
                self.element = self.at;
                self.place = match first {
                    b'$' => Place::Length(Number::default()),
                    got => return Err(AofFlaw::Prefix { got }),
                };
            }
            Place::Length(number) => {
                if let Some(bytes) = number.push(first)? {
                    self.lines += 1;
                    self.place = Place::Argument(Argument::new(bytes)?);
                    self.element = self.at + 1;
                }
            }
            Place::Argument(argument) => {
                len = argument.push(bytes)?;
                if argument.is_whole() {
                    let argument = *argument;
                    self.end_argument(&argument)?;
                }
            }
        }
        Ok(len)
    }

    fn begin_arguments(&mut self, count: i64) -> Result<(), AofFlaw> {
        self.lines += 1;
        self.args = u64::try_from(count).ok().filter(|args| *args > 0).ok_or(AofFlaw::Count { count })?;
        self.args_left = self.args;
        self.is_select = false;
        self.place = Place::Prefix;
        Ok(())
    }

    fn end_argument(&mut self, argument: &Argument) -> Result<(), AofFlaw> {
        self.lines += 1;
        if self.args_left == self.args {
            let kind = CommandKind::of(argument.head());
            self.begin(kind)?;
            self.is_select = kind == CommandKind::Select && self.args == 2;
        } else if self.is_select {
            self.select(argument.head());
        }
        self.args_left -= 1;
        self.place = Place::Prefix;
        if self.args_left == 0 {
            self.commands += 1;
            self.place = Place::Start;
        }
        Ok(())
    }

    /// A command's name is known.
    fn begin(&mut self, kind: CommandKind) -> Result<(), AofFlaw> {
        match kind {
            CommandKind::Multi if self.is_in_multi => return Err(AofFlaw::UnexpectedMulti),
            CommandKind::Exec if !self.is_in_multi => return Err(AofFlaw::UnexpectedExec),
            CommandKind::Multi => self.is_in_multi = true,
            CommandKind::Exec => self.is_in_multi = false,
            CommandKind::Select | CommandKind::Other => {}
        }
        Ok(())
    }

    fn select(&mut self, database: &[u8]) {
        let index = std::str::from_utf8(database).ok().and_then(|text| text.parse().ok());
        self.selected = index.map(DbIndex::new).or(self.selected);
    }

    #[inline]
    fn touch_border(&mut self) {
        if self.place == Place::Start && !self.is_in_multi && self.stopped.is_none() {
            self.border = self.at;
            self.selected_at_border = self.selected;
        }
    }

    fn stop(&mut self) {
        self.at = self.element;
        self.stopped = Some(if self.is_in_multi { self.border } else { self.element });
    }
}
