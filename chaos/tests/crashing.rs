//! What was acknowledged is there after a crash: a client writes numbered keys, the process is killed in the middle, again
//! and again, and comes up with all of it, under the replid that it had, at an offset no smaller than any that was told.

#![allow(clippy::unwrap_used)]

use std::thread;
use std::time::Duration;

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::info_number;
use rejoin_chaos::servers::{Binary, Server};
use rejoin_chaos::wait;

/// Commands that are under way at a time.
const PIPELINED: u64 = 16;
const KILLS: u64 = 100;

/// Writes keys from `first` on until the connection breaks; the first that was not acknowledged.
fn write_until_killed(port: u16, first: u64) -> u64 {
    let Ok(mut client) = Client::connect(port) else { return first };
    let mut acknowledged = first;
    loop {
        for number in acknowledged..acknowledged + PIPELINED {
            let (key, value) = (format!("key:{number}"), number.to_string());
            match number % 8 {
                // Database changes and transactions: what is between borders is whole or absent.
                3 => {
                    client.queue(&["MULTI"]);
                    client.queue(&["SET", &key, &value]);
                    client.queue(&["INCR", "in transactions"]);
                    client.queue(&["EXEC"]);
                }
                5 => {
                    client.queue(&["SELECT", "7"]);
                    client.queue(&["INCR", "elsewhere"]);
                    client.queue(&["SELECT", "0"]);
                    client.queue(&["SET", &key, &value]);
                }
                _ => client.queue(&["SET", &key, &value]),
            }
        }
        if client.flush().is_err() {
            return acknowledged;
        }
        for number in acknowledged..acknowledged + PIPELINED {
            let replies = if matches!(number % 8, 3 | 5) { 4 } else { 1 };
            if client.skip_replies(replies).is_err() {
                return number;
            }
        }
        acknowledged += PIPELINED;
    }
}

/// A key of every eighth number was written with a counter beside it; the counters must match the keys exactly, whether
/// the last of them were acknowledged or not.
fn assert_all_there(client: &mut Client, first: u64, acknowledged: u64) -> u64 {
    for number in first..acknowledged {
        client.queue(&["GET", &format!("key:{number}")]);
    }
    client.flush().unwrap();
    for number in first..acknowledged {
        let reply = client.read_reply().unwrap();
        assert_eq!(reply.text(), Some(number.to_string()), "key {number} was acknowledged");
    }
    // What was not acknowledged may be there as well, up to the first that is not.
    let mut end = acknowledged;
    while client.ask_integer(&["EXISTS", &format!("key:{end}")]).unwrap() == 1 {
        end += 1;
    }
    let transactions = (0..end).filter(|number| number % 8 == 3).count();
    let counted =
        client.call(&["GET", "in transactions"]).unwrap().text().map_or(0, |text| text.parse().unwrap());
    assert_eq!(transactions, counted, "up to {end}");
    end
}

fn nothing_acknowledged_is_lost(policy: &str) {
    let options =
        ["--appendfsync", policy, "--aof-segment-size", "1mb", "--auto-aof-rewrite-min-size", "300kb"];
    let mut server = Server::start(&Binary::node(None).unwrap(), &options).unwrap();
    let replid = server.client().unwrap().ask_text(&["INFO", "replication"]).unwrap();
    let replid = replid.lines().find(|line| line.starts_with("master_replid:")).unwrap().to_owned();
    let mut next = 0;
    let mut offset = 0;
    for kill in 0..KILLS {
        let port = server.port();
        let writer = thread::spawn(move || write_until_killed(port, next));
        // Not at a moment of our choosing: how far the writer gets in this time is up to the machine.
        thread::sleep(Duration::from_millis(3 + kill * 7 % 40));
        let told = info_number(&server, "replication", "master_repl_offset").unwrap();
        server.crash_and_restart().unwrap();
        let acknowledged = writer.join().unwrap();
        let mut client = server.client().unwrap();
        wait::until("the log is loaded", || Ok(!client.call(&["GET", "x"])?.is_error())).unwrap();
        next = assert_all_there(&mut client, next, acknowledged);
        let info = client.ask_text(&["INFO", "replication"]).unwrap();
        assert!(info.contains(&replid), "{replid} is gone: {info}");
        let now = info_number(&server, "replication", "master_repl_offset").unwrap();
        assert!(now >= told && now >= offset, "the offset went back from {told} or {offset} to {now}");
        offset = now;
    }
    assert!(next > KILLS, "only {next} keys were written");
    let size = server.client().unwrap().ask_integer(&["DBSIZE"]).unwrap();
    // Beside the numbered keys stands the counter.
    assert_eq!(u64::try_from(size).unwrap(), next + 1);
    let rewrites = server.log_tail();
    assert!(!rewrites.contains("error"), "{rewrites}");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    nothing_acknowledged_is_lost("everysec");
}

#[test]
fn nothing_acknowledged_is_lost_with_every_write_synced() {
    nothing_acknowledged_is_lost("always");
}
