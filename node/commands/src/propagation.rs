//! What the turn's writes put into the log: canonical RESP, SELECT where the database changes, MULTI and EXEC around
//! what belongs together.
//!
//! A *unit* is one command, one transaction or one pass of active expiry: it becomes visible as a whole. Bytes outside
//! a unit do not exist, so the buffer always ends at a border between units.

use rejoin_protocol::{ByteCount, DbIndex, NextOffset, Offset};

/// The log bytes of the turn that is running.
#[derive(Debug)]
pub struct Propagation {
    bytes: Vec<u8>,
    /// Offset of the stream before `bytes[0]`; changes when the bytes are taken.
    base: Offset,
    /// The database selected at the end of the stream; `None` forces a SELECT before the next write.
    selected: Option<DbIndex>,
    /// Where the running unit's first operation begins (behind its SELECT); `None` before the first.
    unit_begin: Option<usize>,
    /// Operations in the running unit.
    unit_operations: usize,
}

impl Propagation {
    /// Nothing to log yet; the stream stands at `base`.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self { bytes: Vec::new(), base, selected: None, unit_begin: None, unit_operations: 0 }
    }

    /// The stream position of the next byte that will be logged.
    #[must_use]
    pub fn position(&self) -> NextOffset {
        self.offset().next()
    }

    /// The stream's offset when everything here has been appended.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.base.advance(ByteCount::of(self.bytes.len()))
    }

    /// The database that the stream has selected at its end.
    #[must_use]
    pub fn selected(&self) -> Option<DbIndex> {
        self.selected
    }

    /// States the selected database (after a load, or `None` to force a SELECT, as for a new replica).
    pub fn set_selected(&mut self, selected: Option<DbIndex>) {
        self.selected = selected;
    }

    /// The stream goes on elsewhere (a full sync was loaded). The buffer must be empty.
    pub fn restart(&mut self, base: Offset, selected: Option<DbIndex>) {
        assert!(self.bytes.is_empty(), "log bytes of a turn were not taken before the stream moved");
        self.base = base;
        self.selected = selected;
    }

    /// The stream moved by bytes that are not ours to log (the master's). The buffer must be empty.
    pub fn advance(&mut self, bytes: ByteCount) {
        assert!(self.bytes.is_empty(), "own log bytes stand before the master's");
        self.base = self.base.advance(bytes);
    }

    /// Begins a unit.
    #[inline]
    pub fn begin_unit(&mut self) {
        self.unit_begin = None;
        self.unit_operations = 0;
    }

    /// Logs one operation of the running unit in `db`: `raw` is canonical RESP.
    pub fn push_raw(&mut self, db: DbIndex, raw: &[u8]) {
        self.begin_operation(db);
        self.bytes.extend_from_slice(raw);
    }

    /// Logs one operation of the running unit in `db`.
    pub fn push(&mut self, db: DbIndex, args: &[&[u8]]) {
        self.begin_operation(db);
        append_command(&mut self.bytes, args);
    }

    fn begin_operation(&mut self, db: DbIndex) {
        if self.selected != Some(db) {
            let mut number = itoa::Buffer::new();
            append_command(&mut self.bytes, &[b"SELECT", number.format(db.get()).as_bytes()]);
            self.selected = Some(db);
        }
        if self.unit_operations == 0 {
            self.unit_begin = Some(self.bytes.len());
        }
        self.unit_operations += 1;
    }

    /// Ends a unit: two operations or more are wrapped in MULTI and EXEC.
    #[inline]
    pub fn end_unit(&mut self) {
        if self.unit_operations > 1
            && let Some(begin) = self.unit_begin
        {
            // The first operation is moved to make room: rare enough, and the plain single write pays nothing.
            self.bytes.splice(begin..begin, b"*1\r\n$5\r\nMULTI\r\n".iter().copied());
            self.bytes.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
        }
        self.unit_begin = None;
        self.unit_operations = 0;
    }

    /// The bytes logged since the last take, which end at a border.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes were appended to the log.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 1 << 20;
        self.base = self.offset();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }
}

/// Appends a command in canonical RESP.
fn append_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    let mut number = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(number.format(args.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for arg in args {
        out.push(b'$');
        out.extend_from_slice(number.format(arg.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(run: impl FnOnce(&mut Propagation)) -> String {
        let mut log = Propagation::new(Offset::ZERO);
        run(&mut log);
        String::from_utf8_lossy(log.bytes()).replace("\r\n", " ")
    }

    #[test]
    fn one_operation_stands_alone_behind_its_select() {
        let text = log(|log| {
            log.begin_unit();
            log.push(DbIndex::new(3), &[b"DEL", b"k"]);
            log.end_unit();
        });
        assert_eq!(text, "*2 $6 SELECT $1 3 *2 $3 DEL $1 k ");
    }

    #[test]
    fn several_operations_of_a_unit_are_wrapped_behind_the_select() {
        let text = log(|log| {
            log.begin_unit();
            log.push(DbIndex::new(0), &[b"DEL", b"a"]);
            log.push_raw(DbIndex::new(0), b"*1\r\n$1\r\nX\r\n");
            log.end_unit();
        });
        assert_eq!(text, "*2 $6 SELECT $1 0 *1 $5 MULTI *2 $3 DEL $1 a *1 $1 X *1 $4 EXEC ");
    }

    #[test]
    fn positions_count_what_is_logged() {
        let mut log = Propagation::new(Offset::new(100));
        assert_eq!(log.position(), NextOffset::new(101));
        log.set_selected(Some(DbIndex::new(0)));
        log.begin_unit();
        log.push_raw(DbIndex::new(0), b"0123456789");
        log.end_unit();
        assert_eq!(log.offset(), Offset::new(110));
        log.clear();
        assert_eq!((log.offset(), log.bytes().len()), (Offset::new(110), 0));
    }
}
