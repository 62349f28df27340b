//! Decoding on several threads, which the caller runs: the calling thread reads the payload as ever, but passes over the
//! values of keys; what it passed over it hands out in pieces, in which workers make the entries; and it puts these in
//! place, piece by piece in the order of the payload. So the outcome is that of a single thread.
//!
//! A piece is decoded here, too, rather than waited for. A worker that is lost ends the load with an error.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rejoin_keyspace::{Batch, Keyspace, Limits};
use rejoin_protocol::UnixMillis;

use super::super::format::{Dialect, TYPES};
use super::super::source::{Source, damaged};
use super::super::{DecodeOptions, RdbError, Skipped};
use super::{Decoder, Usage};

/// Bytes and keys of a piece; one larger value makes a larger piece.
const PIECE_BYTES: usize = 256 * 1024;
const PIECE_KEYS: usize = 4096;

/// Pieces that are not in place yet, at most: what they hold is in memory twice.
const PIECES_MAX: u64 = 8;

/// One thread's part of a load: to be run to its end.
pub type Worker = Box<dyn FnOnce() + Send>;

/// A key of a piece: all that stood before it.
pub(super) struct Head {
    /// Where its type stood, and where it stood itself.
    pub(super) at: u64,
    pub(super) key_at: u64,
    pub(super) number: u8,
    pub(super) expiry: Option<UnixMillis>,
    pub(super) usage: Option<Usage>,
}

/// Keys with their values, as they stood in the payload.
struct Piece {
    heads: Vec<Head>,
    /// Keys and values, without what stood between them.
    bytes: Vec<u8>,
    dialect: Dialect,
    limits: Limits,
    skips_unsupported: bool,
    /// Without keys; hashes and stamps as the one that is loaded into.
    keyspace: Keyspace,
}

/// What became of a piece.
pub(super) struct Made {
    pub(super) batch: Batch,
    /// Where the keys of the batch stand.
    pub(super) places: Vec<u64>,
    pub(super) keys: u64,
    pub(super) expires: u64,
    pub(super) skipped: Skipped,
    pub(super) type_counts: [u64; TYPES],
    /// What was wrong behind all that.
    pub(super) outcome: Result<(), RdbError>,
}

impl Piece {
    fn decode(mut self) -> Made {
        let mut none = io::empty();
        let options = DecodeOptions {
            limits: self.limits,
            skips_unsupported: self.skips_unsupported,
            ..DecodeOptions::default()
        };
        let source = Source::over(self.bytes, &mut none);
        let mut decoder = Decoder::new(source, &mut self.keyspace, options, self.dialect);
        decoder.keeps_batch = true;
        let outcome = self.heads.into_iter().try_for_each(|head| decoder.read_scanned(head));
        Made {
            batch: std::mem::take(&mut decoder.batch),
            places: std::mem::take(&mut decoder.places),
            keys: decoder.summary.keys,
            expires: decoder.summary.expires,
            skipped: std::mem::take(&mut decoder.summary.skipped),
            type_counts: decoder.type_counts,
            outcome,
        }
    }
}

impl Decoder<'_> {
    fn read_scanned(&mut self, head: Head) -> Result<(), RdbError> {
        self.source.rebase(head.key_at);
        (self.expiry, self.usage) = (head.expiry, head.usage);
        self.read_name()?;
        self.read_value(head.at, head.key_at, head.number)
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(u64, Piece)>,
    /// By number; `None` where the worker was lost.
    made: BTreeMap<u64, Option<Made>>,
    is_over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, number: u64, made: Option<Made>) {
        self.lock().made.insert(number, made);
        self.changed.notify_all();
    }
}

/// Says that a piece was lost, unless it is told otherwise.
struct Promise<'a>(&'a Shared, Option<u64>);

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.1 {
            self.0.put(number, None);
        }
    }
}

fn work(shared: &Shared) {
    loop {
        let mut state = shared.lock();
        let (number, piece) = loop {
            if state.is_over {
                return;
            }
            match state.waiting.pop_front() {
                Some(next) => break next,
                None => state = shared.wait(state),
            }
        };
        drop(state);
        let mut promise = Promise(shared, Some(number));
        let made = piece.decode();
        promise.1 = None;
        shared.put(number, Some(made));
    }
}

/// The workers of a load, and the pieces on their way.
pub(super) struct Workers {
    shared: Arc<Shared>,
    /// Keys of the piece at hand; their bytes are in the source.
    pub(super) heads: Vec<Head>,
    /// Pieces handed out, and those in place.
    handed_out: u64,
    in_place: u64,
}

impl Drop for Workers {
    /// Lets the workers end.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.waiting.clear();
        self.shared.changed.notify_all();
    }
}

impl Workers {
    pub(super) fn start(count: usize, run: &mut dyn FnMut(Worker)) -> Self {
        let shared = Arc::<Shared>::default();
        for _ in 0..count {
            let shared = Arc::clone(&shared);
            run(Box::new(move || work(&shared)));
        }
        Self { shared, heads: Vec::new(), handed_out: 0, in_place: 0 }
    }

    /// Whether no key was passed to them that is not in place.
    pub(super) fn is_idle(&self) -> bool {
        self.heads.is_empty() && self.in_place == self.handed_out
    }

    /// The next piece of the order, if it is made; where `is_needed`, it is waited for, or made here.
    fn next_made(&mut self, is_needed: bool) -> Option<Result<Made, RdbError>> {
        let mut state = self.shared.lock();
        loop {
            if let Some(made) = state.made.remove(&self.in_place) {
                self.in_place += 1;
                let lost = || io::Error::other("a thread that decoded was lost, which is a defect").into();
                return Some(made.ok_or_else(lost));
            }
            if !is_needed || self.in_place == self.handed_out {
                return None;
            }
            match state.waiting.pop_front() {
                Some((number, piece)) => {
                    drop(state);
                    let made = piece.decode();
                    state = self.shared.lock();
                    state.made.insert(number, Some(made));
                }
                None => state = self.shared.wait(state),
            }
        }
    }
}

impl Decoder<'_> {
    /// Passes over a key and its value and notes it; hands the piece out when it is large enough.
    pub(super) fn scan_key(&mut self, at: u64, number: u8) -> Result<(), RdbError> {
        let key_at = self.source.position();
        self.source.begin_copy();
        let scanned = self.source.skip_string().and_then(|()| self.skip_our_value(number));
        self.source.end_copy();
        let head = Head { at, key_at, number, expiry: self.expiry.take(), usage: self.usage.take() };
        let Some(workers) = &mut self.workers else { return scanned };
        if scanned.is_err() {
            // Only whole values are in a piece.
            self.source.cut_copy();
            return scanned;
        }
        self.source.keep_copy();
        workers.heads.push(head);
        if workers.heads.len() == PIECE_KEYS || self.source.copied() >= PIECE_BYTES {
            self.hand_out()?;
        }
        Ok(())
    }

    /// Hands out the piece at hand, and puts in place what is made meanwhile.
    pub(super) fn hand_out(&mut self) -> Result<(), RdbError> {
        let Some(workers) = &mut self.workers else { return Ok(()) };
        if !workers.heads.is_empty() {
            let piece = Piece {
                heads: std::mem::take(&mut workers.heads),
                bytes: self.source.take_copy(),
                dialect: self.dialect,
                limits: self.options.limits,
                skips_unsupported: self.options.skips_unsupported,
                keyspace: self.keyspace.empty_like(),
            };
            workers.shared.lock().waiting.push_back((workers.handed_out, piece));
            workers.shared.changed.notify_all();
            workers.handed_out += 1;
        }
        loop {
            let Some(workers) = &mut self.workers else { return Ok(()) };
            let is_needed = workers.handed_out - workers.in_place >= PIECES_MAX;
            match workers.next_made(is_needed) {
                Some(made) => self.take_made(made)?,
                None => return Ok(()),
            }
        }
    }

    /// Everything that was handed out is in place.
    pub(super) fn await_workers(&mut self) -> Result<(), RdbError> {
        self.hand_out()?;
        while let Some(made) = self.workers.as_mut().and_then(|workers| workers.next_made(true)) {
            self.take_made(made)?;
        }
        Ok(())
    }

    /// Takes the next piece of the order. After the first that is wrong no other counts: what is behind it may be wrong, too.
    fn take_made(&mut self, made: Result<Made, RdbError>) -> Result<(), RdbError> {
        let outcome = made.and_then(|made| self.put_in_place(made));
        if outcome.is_err() {
            self.workers = None;
        }
        outcome
    }

    fn put_in_place(&mut self, made: Made) -> Result<(), RdbError> {
        self.summary.keys += made.keys;
        self.summary.expires += made.expires;
        self.summary.skipped.keys += made.skipped.keys;
        if let Some((at, what)) = made.skipped.first {
            self.note_skipped(at, what);
        }
        for (sum, count) in self.type_counts.iter_mut().zip(made.type_counts) {
            *sum += count;
        }
        (self.batch, self.places) = (made.batch, made.places);
        self.flush()?;
        made.outcome
    }

    /// Passes over the value of a type that we have.
    fn skip_our_value(&mut self, number: u8) -> Result<(), RdbError> {
        use super::super::format::{score_text, value_type::*};
        let source = &mut self.source;
        match number {
            LIST | SET | LIST_QUICKLIST => (0..source.length()?).try_for_each(|_| source.skip_string()),
            HASH => {
                for _ in 0..source.length()? {
                    source.skip_string()?;
                    source.skip_string()?;
                }
                Ok(())
            }
            ZSET => {
                for _ in 0..source.length()? {
                    source.skip_string()?;
                    match source.byte()? {
                        score_text::NAN | score_text::INFINITY | score_text::NEGATIVE_INFINITY => {}
                        length => source.skip(length.into())?,
                    }
                }
                Ok(())
            }
            ZSET_2 => {
                for _ in 0..source.length()? {
                    source.skip_string()?;
                    source.skip(8)?;
                }
                Ok(())
            }
            LIST_QUICKLIST_2 => {
                for _ in 0..source.length()? {
                    let at = source.position();
                    let form = source.length()?;
                    if !matches!(form, 1 | 2) {
                        return Err(damaged(at, format!("a list with a node of the form {form}")));
                    }
                    source.skip_string()?;
                }
                Ok(())
            }
            HASH_FIELD_EXPIRY | HASH_FIELD_EXPIRY_22 => {
                if number == HASH_FIELD_EXPIRY {
                    source.skip(8)?;
                }
                let is_behind = number == HASH_FIELD_EXPIRY_22 && self.dialect == Dialect::Valkey;
                for _ in 0..source.length()? {
                    if !is_behind {
                        source.length()?;
                    }
                    source.skip_string()?;
                    source.skip_string()?;
                    if is_behind {
                        source.skip(8)?;
                    }
                }
                Ok(())
            }
            HASH_LISTPACK_EXPIRY => {
                source.skip(8)?;
                source.skip_string()
            }
            // A string, or another value in one string.
            _ => source.skip_string(),
        }
    }
}
