//! The log against a plain vector of bytes, and against readers on other threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use rejoin_protocol::{ByteCount, NextOffset, Offset};

use super::{BLOCK_BYTES, Cursor, CursorEnd, HotLog, LogHandle, NotHeld};

/// Small random numbers; the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.roll() >> 11) % bound
    }
}

/// The byte at a place of the stream, so that a reader can tell a wrong one.
fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn bytes_at(from: Offset, len: u64) -> Vec<u8> {
    (1..=len).map(|step| byte_at(from.get() + step)).collect()
}

fn read_all(cursor: &mut Cursor) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = cursor.readable().unwrap();
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(bytes);
        let count = bytes.len();
        cursor.consume(count);
    }
}

fn budget(bytes: u64) -> ByteCount {
    ByteCount::new(bytes)
}

#[test]
fn a_replica_that_wants_the_byte_after_the_last_gets_what_follows() {
    let mut log = HotLog::new(Offset::new(500), budget(1024));
    let handle = log.handle();
    assert_eq!(handle.first_held(), NextOffset::new(501));
    let mut cursor = handle.open_cursor(NextOffset::new(501)).unwrap();
    log.append(b"PING");
    assert_eq!(cursor.readable().unwrap(), b"");
    log.publish();
    assert_eq!(cursor.lag(), ByteCount::new(4));
    assert_eq!(cursor.readable().unwrap(), b"PING");
    cursor.consume(1);
    assert_eq!(cursor.readable().unwrap(), b"ING");
    assert_eq!(cursor.position(), NextOffset::new(502));
    assert_eq!((handle.visible(), log.appended()), (Offset::new(504), Offset::new(504)));
    assert_eq!(handle.bytes_held(), ByteCount::new(4));
}

#[test]
fn its_parts_may_go_to_the_threads_that_they_are_for() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<HotLog>();
    is_send::<Cursor>();
    is_send::<LogHandle>();
    is_sync::<LogHandle>();
}

#[test]
fn what_is_not_held_is_refused_with_the_numbers() {
    let mut log = HotLog::with_block_bytes(Offset::new(100), budget(20), 10);
    let handle = log.handle();
    for wanted in [99, 100, 102] {
        let refusal = handle.open_cursor(NextOffset::new(wanted)).unwrap_err();
        assert_eq!(refusal.wanted, NextOffset::new(wanted));
    }
    log.append(&[7; 95]);
    log.publish();
    // 195 are written; 20 must stay, and blocks go whole.
    let refusal = handle.open_cursor(NextOffset::new(170)).unwrap_err();
    assert_eq!(
        refusal,
        NotHeld { wanted: NextOffset::new(170), first: NextOffset::new(171), visible: Offset::new(195) }
    );
    assert_eq!(refusal.to_string(), "wanted 170, have 171..=195");
    assert_eq!(read_all(&mut handle.open_cursor(NextOffset::new(171)).unwrap()).len(), 25);
    assert!(handle.open_cursor(NextOffset::new(196)).is_ok());
    assert!(handle.open_cursor(NextOffset::new(197)).is_err());
}

#[test]
fn a_stream_from_the_beginning_may_be_asked_for_byte_zero() {
    let log = HotLog::new(Offset::ZERO, budget(1));
    assert_eq!(log.handle().open_cursor(NextOffset::new(0)).unwrap().position(), NextOffset::FIRST);
}

#[test]
fn a_discarded_tail_was_never_seen_even_across_blocks() {
    let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(1000), 8);
    let mut cursor = log.handle().open_cursor(NextOffset::FIRST).unwrap();
    log.append(b"abc");
    log.publish();
    log.append(b"0123456789012345678901234567890123456789");
    log.discard_invisible();
    assert_eq!(log.appended(), Offset::new(3));
    log.append(b"defghijklmnopqrst");
    assert_eq!(read_all(&mut cursor), b"abc");
    log.publish();
    assert_eq!(read_all(&mut cursor), b"defghijklmnopqrst");
    assert_eq!(log.handle().bytes_pinned(), ByteCount::ZERO);
}

#[test]
fn a_restart_ends_old_cursors_and_frees_what_they_do_not_hold() {
    let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(1000), 8);
    let handle = log.handle();
    let mut old = handle.open_cursor(NextOffset::FIRST).unwrap();
    log.append(&[1; 100]);
    log.publish();
    log.append(&[1; 100]);
    log.restart(Offset::new(7000));
    assert_eq!(old.readable(), Err(CursorEnd::LogRestarted));
    assert_eq!(old.lag(), ByteCount::ZERO);
    assert_eq!((handle.first_held(), handle.visible()), (NextOffset::new(7001), Offset::new(7000)));
    assert!(handle.open_cursor(NextOffset::new(50)).is_err());
    assert!(handle.bytes_pinned() > ByteCount::ZERO);
    drop(old);
    assert_eq!(handle.bytes_pinned(), ByteCount::ZERO);
    log.append(b"new");
    log.publish();
    assert_eq!(read_all(&mut handle.open_cursor(NextOffset::new(7001)).unwrap()), b"new");
}

#[test]
fn a_slow_cursor_keeps_its_blocks_and_the_log_its_budget() {
    let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(32), 16);
    let handle = log.handle();
    let mut slow = handle.open_cursor(NextOffset::FIRST).unwrap();
    for _ in 0..100 {
        log.append(&bytes_at(log.appended(), 10));
        log.publish();
    }
    assert!(handle.bytes_held() >= ByteCount::new(32) && handle.bytes_held() < ByteCount::new(48));
    assert!(handle.bytes_pinned() >= ByteCount::new(900));
    assert_eq!(slow.lag(), ByteCount::new(1000));
    assert_eq!(read_all(&mut slow), bytes_at(Offset::ZERO, 1000));
    assert_eq!(handle.bytes_pinned(), ByteCount::ZERO);
    assert!(handle.bytes_allocated() <= ByteCount::new(16 * 8));
}

#[test]
fn a_budget_that_was_cut_is_met_by_the_next_publishes() {
    let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(10_000), 10);
    let handle = log.handle();
    log.append(&[0; 5000]);
    log.publish();
    assert_eq!(handle.bytes_held(), ByteCount::new(5000));
    handle.set_budget(budget(0));
    assert_eq!(handle.budget(), ByteCount::ZERO);
    for _ in 0..20 {
        log.publish();
    }
    assert_eq!(handle.bytes_held(), ByteCount::new(10));
    assert!(handle.bytes_allocated() <= ByteCount::new(50));
    handle.set_budget(budget(100));
    log.append(&[0; 500]);
    log.publish();
    log.publish();
    assert_eq!(handle.bytes_held(), ByteCount::new(100));
}

#[test]
#[should_panic(expected = "consumed 5 bytes of 4 offered")]
fn a_cursor_cannot_move_past_what_it_was_given() {
    let mut log = HotLog::new(Offset::ZERO, budget(1));
    log.append(b"PING");
    log.publish();
    let mut cursor = log.handle().open_cursor(NextOffset::FIRST).unwrap();
    cursor.readable().unwrap();
    cursor.consume(5);
}

/// The log as a vector: what a correct one shows.
struct Model {
    start: u64,
    visible: Vec<u8>,
    invisible: Vec<u8>,
    cursors: Vec<(Cursor, usize)>,
}

fn run_model(seed: u64, steps: usize) {
    let mut dice = Dice(seed);
    let block = 1 + dice.below(40) as usize;
    let start = dice.below(1000);
    let mut log = HotLog::with_block_bytes(Offset::new(start), budget(dice.below(200)), block);
    let handle = log.handle();
    let mut model = Model { start, visible: Vec::new(), invisible: Vec::new(), cursors: Vec::new() };
    for _ in 0..steps {
        match dice.below(100) {
            0..40 => {
                let bytes: Vec<u8> = (0..dice.below(60)).map(|_| dice.roll() as u8).collect();
                log.append(&bytes);
                model.invisible.extend_from_slice(&bytes);
            }
            40..60 => {
                log.publish();
                model.visible.append(&mut model.invisible);
            }
            60..66 => {
                log.discard_invisible();
                model.invisible.clear();
            }
            66..76 => {
                let place = dice.below(model.visible.len() as u64 + 2);
                let at = NextOffset::new(model.start + place + 1);
                let held = at >= handle.first_held() && place <= model.visible.len() as u64;
                match handle.open_cursor(at) {
                    Ok(cursor) if held => model.cursors.push((cursor, place as usize)),
                    Err(refusal) if !held => assert_eq!(refusal.visible, handle.visible()),
                    other => panic!("seed {seed}: {other:?} at {at}, held {held}"),
                }
            }
            76..96 if !model.cursors.is_empty() => {
                let which = dice.below(model.cursors.len() as u64) as usize;
                let (cursor, place) = &mut model.cursors[which];
                assert_eq!(cursor.lag(), ByteCount::of(model.visible.len() - *place), "seed {seed}");
                let bytes = cursor.readable().unwrap();
                assert!(!bytes.is_empty() || *place == model.visible.len(), "seed {seed}");
                assert_eq!(bytes, &model.visible[*place..*place + bytes.len()], "seed {seed}");
                let count = dice.below(bytes.len() as u64 + 1) as usize;
                cursor.consume(count);
                *place += count;
            }
            96 => handle.set_budget(budget(dice.below(300))),
            97 => {
                model.cursors.clear();
            }
            98 if dice.below(4) == 0 => {
                model.start = dice.below(5000);
                log.restart(Offset::new(model.start));
                for (mut cursor, _) in model.cursors.drain(..) {
                    assert_eq!(cursor.readable(), Err(CursorEnd::LogRestarted), "seed {seed}");
                }
                (model.visible, model.invisible) = (Vec::new(), Vec::new());
            }
            _ => {}
        }
        assert_eq!(handle.visible().get(), model.start + model.visible.len() as u64, "seed {seed}");
        assert_eq!(
            log.appended().get(),
            handle.visible().get() + model.invisible.len() as u64,
            "seed {seed}"
        );
        assert!(handle.first_held().get() > model.start, "seed {seed}");
    }
    model.cursors.clear();
    assert_eq!(handle.bytes_pinned(), ByteCount::ZERO, "seed {seed}");
}

#[test]
fn random_runs_agree_with_a_vector() {
    let seeds = if cfg!(miri) { 2 } else { 300 };
    for seed in 1..=seeds {
        run_model(seed, if cfg!(miri) { 200 } else { 1500 });
    }
}

#[test]
fn the_budget_is_always_held_once_written() {
    for block in [1, 7, 64] {
        let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(50), block);
        let mut dice = Dice(block as u64);
        for _ in 0..500 {
            log.append(&vec![0; dice.below(90) as usize]);
            log.publish();
            let held = log.handle().bytes_held().get();
            assert!(held >= log.appended().get().min(50));
            assert!(held < 50 + block as u64);
        }
    }
}

/// Readers on other threads check each byte and that nothing past a border shows: every border here stands at a
/// multiple of the unit.
#[test]
fn readers_on_other_threads_see_right_bytes_up_to_borders() {
    const UNIT: u64 = 97;
    let total: u64 = if cfg!(miri) { UNIT * 60 } else { UNIT * 200_000 };
    let block = if cfg!(miri) { 256 } else { BLOCK_BYTES };
    let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(4 * block as u64), block);
    let readers = if cfg!(miri) { 2 } else { 4 };
    let start = Arc::new(Barrier::new(readers + 1));
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..readers)
        .map(|number| {
            let (handle, start, done) = (log.handle(), Arc::clone(&start), Arc::clone(&done));
            let mut cursor = handle.open_cursor(NextOffset::FIRST).unwrap();
            thread::spawn(move || {
                start.wait();
                let mut reopened = 0;
                while cursor.position().get() <= total {
                    let at = cursor.position().get();
                    let bytes = cursor.readable().unwrap();
                    for (place, byte) in (at..).zip(bytes) {
                        assert_eq!(*byte, byte_at(place), "byte {place}");
                    }
                    let count = bytes.len();
                    cursor.consume(count);
                    if count == 0 {
                        let border = cursor.position().prior().get();
                        assert_eq!(border % UNIT, 0, "a reader stands inside an unpublished append");
                        thread::yield_now();
                    }
                    // Half of the readers also come anew now and then, in the middle of releases.
                    if number % 2 == 1
                        && at.is_multiple_of(64)
                        && !done.load(Ordering::Relaxed)
                        && let Ok(other) = handle.open_cursor(handle.first_held())
                    {
                        assert!(other.position() <= handle.visible().next());
                        reopened += 1;
                    }
                }
                reopened
            })
        })
        .collect();
    start.wait();
    let mut dice = Dice(5);
    while log.appended().get() < total {
        for _ in 0..=dice.below(4).min((total - log.appended().get()) / UNIT - 1) {
            log.append(&bytes_at(log.appended(), UNIT));
        }
        if dice.below(50) == 0 {
            log.append(b"wrong");
            log.discard_invisible();
        } else {
            log.publish();
        }
    }
    log.publish();
    done.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(log.handle().bytes_pinned(), ByteCount::ZERO);
}

#[test]
fn a_cursor_sees_nothing_of_the_streams_next_name() {
    let mut log = HotLog::new(Offset::ZERO, budget(1024));
    let handle = log.handle();
    let mut first = handle.open_cursor(NextOffset::new(1)).unwrap();
    log.append(b"old");
    log.publish();
    assert_eq!(log.begin_name(), 1);
    log.append(b"new");
    log.publish();
    assert_eq!(read_all(&mut first), b"old");
    assert_eq!(first.lag(), ByteCount::ZERO);
    assert_eq!(read_all(&mut handle.open_cursor(NextOffset::new(1)).unwrap()), b"oldnew");
    // Whoever has not heard of the new name yet opens under the old one, even behind its end.
    assert_eq!(read_all(&mut handle.open_cursor_under(0, NextOffset::new(2)).unwrap()), b"ld");
    assert_eq!(read_all(&mut handle.open_cursor_under(0, NextOffset::new(5)).unwrap()), b"");
    let mut second = handle.open_cursor(NextOffset::new(4)).unwrap();
    for _ in 0..100 {
        log.begin_name();
        log.append(b"x");
        log.publish();
    }
    // The end of its name is forgotten; what it has read stays where it is.
    assert_eq!(read_all(&mut second), b"");
    assert_eq!(second.position(), NextOffset::new(4));
}

#[test]
fn a_bookmark_holds_no_memory_and_finds_its_way_back() {
    let mut log = HotLog::with_block_bytes(Offset::ZERO, budget(64), 32);
    let handle = log.handle();
    let mut cursor = handle.open_cursor(NextOffset::new(1)).unwrap();
    let mut bookmark = cursor.bookmark();
    for _ in 0..10 {
        log.append(&[b'a'; 32]);
        log.publish();
    }
    assert!(cursor.is_behind_memory());
    assert!(handle.bytes_pinned() > ByteCount::ZERO);
    assert_eq!(read_all(&mut cursor).len(), 320);
    drop(cursor);
    assert_eq!(handle.bytes_pinned(), ByteCount::ZERO);
    assert_eq!(bookmark.lag(), ByteCount::new(320));
    assert!(bookmark.open_cursor().is_err(), "memory does not reach so far back");
    bookmark.advance(ByteCount::new(310));
    assert_eq!(bookmark.position(), NextOffset::new(311));
    assert_eq!(read_all(&mut bookmark.open_cursor().unwrap()), [b'a'; 10]);
    assert!(!bookmark.is_at_end_of_name());

    log.begin_name();
    log.append(b"under the next name");
    log.publish();
    assert_eq!(bookmark.border(), Ok(Offset::new(320)));
    bookmark.advance(ByteCount::new(10));
    assert!(bookmark.is_at_end_of_name());

    let current = handle.bookmark_under(log.name(), NextOffset::new(321));
    log.restart(Offset::new(300));
    log.append(&[b'b'; 100]);
    log.publish();
    assert_eq!(current.border(), Err(CursorEnd::LogRestarted));
    assert!(current.open_cursor().is_err(), "the same offset of another stream");
    assert_eq!(
        handle.bookmark_under(0, NextOffset::new(311)).border(),
        Ok(Offset::new(310)),
        "an old name sees nothing"
    );
}
