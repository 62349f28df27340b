use super::*;

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

fn lineage(current: u8, ancestors: &[(u8, u64)]) -> Lineage {
    let ancestors = ancestors
        .iter()
        .map(|&(name, last)| Ancestor { replid: id(name), last_valid: Offset::new(last) })
        .collect();
    Lineage::restore(id(current), ancestors)
}

fn master(current: u8, offset: u64, ancestors: &[(u8, u64)]) -> MasterStream {
    MasterStream {
        lineage: lineage(current, ancestors),
        offset: Offset::new(offset),
        reach: Reach::Unknown,
        standing: Standing::Master,
    }
}

fn related(ours: &Lineage, held: u64, master: &MasterStream) -> Relation {
    relate(ours, Offset::new(held), master)
}

fn diverged(ours: &Lineage, held: u64, master: &MasterStream) -> (u64, Lineage) {
    match related(ours, held, master) {
        Relation::Diverged(Divergence { common, lineage, .. }) => (common.get(), lineage),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_stream_and_we_are_not_past_the_master() {
    for held in [1, 499, 500] {
        let relation = related(&lineage(1, &[]), held, &master(1, 500, &[]));
        assert_eq!(relation, Relation::Beginning { name: id(1) });
    }
}

#[test]
fn one_stream_and_we_are_ahead_of_a_master_that_lost_its_end() {
    assert_eq!(diverged(&lineage(1, &[]), 501, &master(1, 500, &[])), (500, lineage(1, &[])));
}

#[test]
fn we_were_master_and_a_replica_of_ours_was_promoted() {
    let promoted = master(2, 900, &[(1, 500)]);
    assert_eq!(related(&lineage(1, &[]), 500, &promoted), Relation::Beginning { name: id(1) });
    assert_eq!(related(&lineage(1, &[]), 320, &promoted), Relation::Beginning { name: id(1) });
    let (common, after) = diverged(&lineage(1, &[]), 640, &promoted);
    assert_eq!((common, &after), (500, &lineage(1, &[])));
    assert!(promoted.lineage.accepts(after.current(), Offset::new(common).next()));
}

#[test]
fn we_were_promoted_and_are_told_to_follow_the_old_master_again() {
    let ours = lineage(2, &[(1, 500)]);
    // Nothing was written: it continues us, but only under the name that it knows.
    assert_eq!(related(&ours, 500, &master(1, 800, &[])), Relation::Beginning { name: id(1) });
    assert_eq!(diverged(&ours, 777, &master(1, 800, &[])), (500, lineage(1, &[(2, 500)])));
    // It was not even at the place of our promotion.
    assert_eq!(diverged(&ours, 777, &master(1, 400, &[])), (400, lineage(1, &[(2, 400)])));
}

#[test]
fn both_continued_the_same_stream_at_different_places() {
    let ours = lineage(2, &[(1, 500)]);
    assert_eq!(diverged(&ours, 600, &master(3, 900, &[(1, 450)])), (450, lineage(1, &[(2, 450)])));
    assert_eq!(diverged(&ours, 600, &master(3, 900, &[(1, 550)])), (500, lineage(1, &[(2, 500)])));
    // Ours began where the master's did, with nothing behind.
    assert_eq!(related(&ours, 500, &master(3, 900, &[(1, 550)])), Relation::Beginning { name: id(1) });
}

#[test]
fn the_youngest_common_name_decides() {
    let ours = lineage(4, &[(3, 700), (2, 600), (1, 500)]);
    let theirs = master(9, 950, &[(3, 650), (2, 600), (1, 500)]);
    assert_eq!(
        diverged(&ours, 720, &theirs),
        (650, lineage(3, &[(4, 650), (2, 600), (1, 500)])),
        "bytes 601 to 650 are in both under the name 3"
    );
    // A stock master shows one ancestor, which is further back.
    assert_eq!(diverged(&ours, 720, &master(9, 950, &[(1, 500)])).0, 500);
    // Our current name is the master's ancestor, and older ones are shared too.
    assert_eq!(diverged(&ours, 720, &master(9, 950, &[(4, 710), (3, 700)])).0, 710);
}

#[test]
fn where_names_reach_equally_far_the_masters_newest_is_asked_by() {
    let ours = lineage(2, &[(1, 500)]);
    assert_eq!(diverged(&ours, 800, &master(2, 500, &[(1, 500)])), (500, lineage(2, &[(1, 500)])));
    assert_eq!(diverged(&ours, 800, &master(1, 500, &[(2, 500)])), (500, lineage(1, &[(2, 500)])));
}

#[test]
fn ancestors_past_the_end_of_who_holds_them_count_up_to_that_end() {
    // A master that states more than it has.
    assert_eq!(diverged(&lineage(1, &[]), 600, &master(2, 300, &[(1, 500)])).0, 300);
}

#[test]
fn no_name_in_common_or_no_byte() {
    let ours = lineage(2, &[(1, 500)]);
    assert_eq!(related(&ours, 600, &master(7, 900, &[(8, 400)])), Relation::Unrelated);
    assert_eq!(related(&ours, 600, &master(1, 0, &[])), Relation::Unrelated, "a master that begins anew");
    assert_eq!(related(&ours, 0, &master(1, 0, &[])), Relation::Beginning { name: id(1) });
}

#[test]
fn a_master_that_can_no_longer_send_what_follows_is_told_apart() {
    let mut theirs = master(2, 900, &[(1, 500)]);
    theirs.reach = Reach::From(NextOffset::new(501));
    assert_eq!(diverged(&lineage(1, &[]), 600, &theirs).0, 500);
    theirs.reach = Reach::From(NextOffset::new(502));
    let relation = related(&lineage(1, &[]), 600, &theirs);
    assert!(matches!(relation, Relation::OutOfReach { .. }), "{relation:?}");
    assert!(relation.to_string().ends_with("we hold 600, and the master sends nothing before 502 any more"));
    theirs.reach = Reach::Nothing;
    assert!(matches!(related(&lineage(1, &[]), 600, &theirs), Relation::OutOfReach { .. }));
    // Whoever goes on without going back asks, and is told.
    assert_eq!(related(&lineage(1, &[]), 400, &theirs), Relation::Beginning { name: id(1) });
}

#[test]
fn a_replica_that_lags_is_waited_for_and_not_gone_back_to() {
    let mut sibling = master(1, 480, &[]);
    sibling.standing = Standing::Linked;
    let behind = Relation::Behind { master: Offset::new(480) };
    assert_eq!(related(&lineage(1, &[]), 500, &sibling), behind);
    sibling.standing = Standing::Unlinked;
    assert_eq!(related(&lineage(1, &[]), 500, &sibling), behind);
    // Its stream is another one by now: what we hold past it will never come.
    let mut sibling = master(2, 480, &[(1, 470)]);
    sibling.standing = Standing::Linked;
    assert_eq!(diverged(&lineage(1, &[]), 500, &sibling).0, 470);
}

/// All pairs of small lineages against the bytes themselves: a stream is a row of bytes, each marked with the name under
/// which it was written, and the common offset is where two rows differ first.
#[test]
fn the_common_offset_is_where_the_bytes_differ() {
    struct Node {
        lineage: Lineage,
        bytes: Vec<u8>,
    }
    let begin = || Node { lineage: Lineage::new(id(1)), bytes: Vec::new() };
    let write = |node: &mut Node, name: u8, count: usize| {
        node.bytes.extend(std::iter::repeat_n(name, count));
    };
    for (before, one, two, fork_two, three) in (0..5)
        .flat_map(|a| (0..4).map(move |b| (a, b)))
        .flat_map(|(a, b)| (0..4).map(move |c| (a, b, c)))
        .flat_map(|(a, b, c)| (0..5).map(move |d| (a, b, c, d)))
        .flat_map(|(a, b, c, d)| (0..3).map(move |e| (a, b, c, d, e)))
    {
        let mut old = begin();
        write(&mut old, 1, before + one);
        let mut new = Node { lineage: old.lineage.clone(), bytes: old.bytes[..before].to_vec() };
        new.lineage.shift(id(2), Offset::new(before as u64));
        write(&mut new, 2, two);
        // A third one branches off the second, or off the first where that is further back.
        let at = fork_two.min(new.bytes.len());
        let mut third = Node { lineage: new.lineage.clone(), bytes: new.bytes[..at].to_vec() };
        third.lineage.shift(id(3), Offset::new(at as u64));
        write(&mut third, 3, three);
        let nodes = [&old, &new, &third];
        for ours in nodes {
            for theirs in nodes {
                let truth = ours.bytes.iter().zip(&theirs.bytes).take_while(|(a, b)| a == b).count();
                let stream = MasterStream {
                    lineage: theirs.lineage.clone(),
                    offset: Offset::new(theirs.bytes.len() as u64),
                    reach: Reach::Unknown,
                    standing: Standing::Master,
                };
                match related(&ours.lineage, ours.bytes.len() as u64, &stream) {
                    Relation::Beginning { name } => {
                        assert_eq!(truth, ours.bytes.len());
                        assert!(stream.lineage.accepts(name, Offset::new(truth as u64).next()));
                    }
                    Relation::Diverged(Divergence { common, lineage, .. }) => {
                        assert_eq!(common.get() as usize, truth);
                        assert!(stream.lineage.accepts(lineage.current(), common.next()));
                        for ancestor in lineage.ancestors() {
                            assert!(ancestor.last_valid <= common);
                        }
                    }
                    Relation::Unrelated => assert_eq!(truth, 0),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn info_of_a_stock_master_is_read() {
    let [first, second] = [id(1), id(2)];
    let info = format!(
        "# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:{second}\r\n\
         master_replid2:{first}\r\nmaster_repl_offset:900\r\nsecond_repl_offset:501\r\nrepl_backlog_active:1\r\n\
         repl_backlog_size:1048576\r\nrepl_backlog_first_byte_offset:15\r\nrepl_backlog_histlen:886\r\n"
    );
    let read = MasterStream::parse(info.as_bytes()).unwrap();
    let reach = Reach::From(NextOffset::new(15));
    assert_eq!(read, MasterStream { reach, ..master(2, 900, &[(1, 500)]) });
    let none = info.replace(&first.to_string(), &"0".repeat(40)).replace("offset:501", "offset:-1");
    assert_eq!(MasterStream::parse(none.as_bytes()).unwrap().lineage, lineage(2, &[]));
    let without = info.replace("active:1", "active:0");
    assert_eq!(MasterStream::parse(without.as_bytes()).unwrap().reach, Reach::Nothing);
}

#[test]
fn info_of_a_chained_node_and_of_ours_is_read() {
    let [first, second, third] = [id(1), id(2), id(3)];
    let info = format!(
        "role:slave\r\nmaster_link_status:up\r\nmaster_replid:{third}\r\nmaster_replid2:{second}\r\nmaster_repl_offset:900\r\n\
         second_repl_offset:801\r\nmaster_ancestors:{second}:800,{first}:500\r\nrepl_backlog_active:1\r\n\
         repl_backlog_first_byte_offset:880\r\n"
    );
    let read = MasterStream::parse(info.as_bytes()).unwrap();
    let expected = MasterStream { standing: Standing::Linked, ..master(3, 900, &[(2, 800), (1, 500)]) };
    assert_eq!(read, expected);
    let down = info.replace("status:up", "status:down");
    assert_eq!(MasterStream::parse(down.as_bytes()).unwrap().standing, Standing::Unlinked);
}

#[test]
fn what_is_no_such_info_is_nothing() {
    let zeros = format!("master_replid:{}\r\nmaster_repl_offset:5\r\n", "0".repeat(40));
    let huge = format!("master_replid:{}\r\nmaster_repl_offset:{}\r\n", id(1), u64::MAX);
    let negative = format!("master_replid:{}\r\nmaster_repl_offset:-7\r\n", id(1));
    for text in
        ["", "role:master\r\nconnected_slaves:1\r\n", "master_replid:abc\r\n", &zeros, &huge, &negative]
    {
        assert_eq!(MasterStream::parse(text.as_bytes()), None, "{text}");
    }
    // Nonsense among the ancestors is left out.
    let odd = format!(
        "master_replid:{}\r\nmaster_repl_offset:9\r\nmaster_ancestors:x,{}:,{}:18446744073709551615,:,{}:4\r\n",
        id(1),
        id(2),
        id(3),
        id(4)
    );
    assert_eq!(MasterStream::parse(odd.as_bytes()).unwrap().lineage, lineage(1, &[(4, 4)]));
}
