//! Writes replies in RESP2 or RESP3 straight into a connection's output buffer.
//!
//! SKELETON: signatures are fixed, bodies come.

/// Which protocol a client speaks; HELLO switches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RespVersion {
    /// RESP2, what every connection begins with.
    #[default]
    Two,
    /// RESP3.
    Three,
}

/// Appends replies to `out` in the client's protocol version. RESP3-only types fall back as Redis does.
pub struct ReplyWriter<'a> {
    out: &'a mut Vec<u8>,
    version: RespVersion,
}

impl<'a> ReplyWriter<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, version: RespVersion) -> Self {
        Self { out, version }
    }

    /// The client's protocol version.
    #[must_use]
    pub fn version(&self) -> RespVersion {
        self.version
    }

    /// From here on, replies are in this version (HELLO).
    pub fn set_version(&mut self, version: RespVersion) {
        self.version = version;
    }

    /// Bytes in the output buffer so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing stands in the output buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back everything written after the buffer had `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// `+text`.
    pub fn simple(&mut self, text: &str) {
        let _ = text;
        todo!()
    }

    /// `-text`; `text` begins with its prefix (`ERR ...`, `WRONGTYPE ...`). Line breaks become spaces.
    pub fn error(&mut self, text: &str) {
        let _ = text;
        todo!()
    }

    /// `:n`.
    pub fn integer(&mut self, n: i64) {
        let _ = n;
        todo!()
    }

    /// `$len` and the bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// A bulk string of a decimal number.
    pub fn bulk_integer(&mut self, n: i64) {
        let _ = n;
        todo!()
    }

    /// `$-1` in RESP2, `_` in RESP3.
    pub fn null(&mut self) {
        todo!()
    }

    /// `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        todo!()
    }

    /// The head of an array of `len` elements, which the caller writes next.
    pub fn array(&mut self, len: usize) {
        let _ = len;
        todo!()
    }

    /// The head of a map of `pairs`: `%` in RESP3, a flat array of twice as many in RESP2.
    pub fn map(&mut self, pairs: usize) {
        let _ = pairs;
        todo!()
    }

    /// The head of a set: `~` in RESP3, an array in RESP2.
    pub fn set(&mut self, len: usize) {
        let _ = len;
        todo!()
    }

    /// The head of a push message: `>` in RESP3, an array in RESP2.
    pub fn push(&mut self, len: usize) {
        let _ = len;
        todo!()
    }

    /// A double: `,` in RESP3, a bulk string in RESP2, in Redis' `%.17g` form.
    pub fn double(&mut self, n: f64) {
        let _ = n;
        todo!()
    }

    /// `#t` / `#f` in RESP3, `:1` / `:0` in RESP2.
    pub fn boolean(&mut self, b: bool) {
        let _ = b;
        todo!()
    }

    /// A text for people (`=txt:` in RESP3, a bulk string in RESP2): INFO, CLIENT LIST.
    pub fn verbatim(&mut self, text: &[u8]) {
        let _ = text;
        todo!()
    }

    /// Bytes that are RESP already.
    pub fn raw(&mut self, resp: &[u8]) {
        self.out.extend_from_slice(resp);
    }
}
