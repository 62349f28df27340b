use super::*;

fn file(name: &str, seq: i64) -> ManifestFile {
    ManifestFile { name: name.to_owned(), seq, start_offset: None, end_offset: None }
}

fn increments(files: &[ManifestFile]) -> Manifest {
    Manifest { increments: files.to_vec(), ..Manifest::default() }
}

fn long(before: usize, length: usize, after: &str) -> String {
    format!("{}{after}", "x".repeat(length - before))
}

#[test]
fn what_redis_accepts_is_read_as_redis_reads_it() {
    // Each row was also given to redis-server 7.0.15 and 8.2.3 and valkey-server 9.1.2, which loaded the files named.
    let one = increments(&[file("a", 1)]);
    let table = [
        ("# nothing but a comment\n", Manifest::default()),
        ("# a comment that does not end", Manifest::default()),
        ("file a seq 1 type i\n", one.clone()),
        ("  file a seq 1 type i \t\r\n", one.clone()),
        ("file\ta\tseq\t1\ttype\ti\n", one.clone()),
        ("file a seq 1 type i\x0b\n", one.clone()),
        ("FILE a SeQ 1 tYPE i\n", one.clone()),
        ("file a seq 1 type increment\n", one.clone()),
        ("file a seq 1x type i\n", one.clone()),
        ("file a seq +1 type i\n", one.clone()),
        ("file a seq \" 1\" type i\n", one.clone()),
        ("file a seq 1 type i of tomorrow\n", one.clone()),
        ("file z seq 5 type b file a seq 1 type i\n", one.clone()),
        ("file \"\\x61\" seq 1 type i\n", one.clone()),
        ("file a seq 1 type i startoffset -1 endoffset -1\n", one.clone()),
        ("file \"a'b\" seq 1 type i\n", increments(&[file("a'b", 1)])),
        (
            "file a seq 1 type i startoffset -23 endoffset 56\n",
            increments(&[ManifestFile { start_offset: Some(-23), end_offset: Some(56), ..file("a", 1) }]),
        ),
        ("file a seq -1 type b\n", Manifest { base: Some(file("a", -1)), ..Manifest::default() }),
        (
            "file a seq 3 type i\nfile b seq 1 type b\n# done\nfile c seq 1 type h\nfile d seq 7 type i\n",
            Manifest {
                base: Some(file("b", 1)),
                increments: vec![file("a", 3), file("d", 7)],
                history: vec![file("c", 1)],
            },
        ),
    ];
    for (text, manifest) in table {
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest), "{text:?}");
    }
}

#[test]
fn lines_end_where_redis_ends_them() {
    let one = increments(&[file("a", 1)]);
    let entry = "file a seq 1 type i\n";
    let longest = format!("file a seq 1 type i k {}\n", long(23, LINE_BYTES_MAX, ""));
    assert_eq!(longest.len(), LINE_BYTES_MAX);
    assert_eq!(Manifest::parse(longest.as_bytes()), Ok(one.clone()));
    let comment = format!("#{}\n{entry}", long(2, LINE_BYTES_MAX, ""));
    assert_eq!(Manifest::parse(comment.as_bytes()), Ok(one));

    let refused = |text: String| Manifest::parse(text.as_bytes()).expect_err(&text);
    let error = refused(longest.replace('\n', "x\n"));
    assert_eq!((error.line, error.text, error.flaw), (1, None, ManifestFlaw::LineTooLong));
    // The rest of a long comment is a line of its own, as it is to Redis.
    let error = refused(format!("#{}\n{entry}", long(1, LINE_BYTES_MAX, "")));
    assert_eq!((error.line, error.text, error.flaw), (2, Some(Vec::new()), ManifestFlaw::Format));
}

#[test]
fn what_redis_refuses_is_refused_in_its_words() {
    // As above; what is marked as ours, they accepted, or stumbled over when they loaded the files.
    use ManifestFlaw::{
        Empty, Format, LineTooLong, NameIsNoText, NameIsPath, NonMonotonic, SameFileTwice, SecondBase,
        SeqTooLarge, UnknownType,
    };
    let table: &[(&[u8], u32, ManifestFlaw)] = &[
        (b"", 0, Empty),
        (b"\n", 1, Format),
        (b"file a seq 1 type i", 1, LineTooLong),
        (b"file a seq 1 type i\0\n", 1, LineTooLong),
        (b"file a seq 1 type i\n\n", 2, Format),
        (b"file a seq 1 type i\n \t \n", 2, Format),
        (b"file \"a seq 1 type i\n", 1, Format),
        (b"file a'b seq 1 type i\n", 1, Format),
        (b"file\x0ba seq 1 type i\n", 1, Format),
        (b"file a seq 1 type i odd\n", 1, Format),
        (b"file a seq 1\n", 1, Format),
        (b"file a x 1 type i\n", 1, Format),
        (b"file a seq 1 x i\n", 1, Format),
        (b"x a seq 1 type i\n", 1, Format),
        (b"file a seq 0 type i\n", 1, Format),
        (b"file a seq abc type i\n", 1, Format),
        (b"file a seq 1 type \"\"\n", 1, Format),
        (b"file a/b seq 1 type i\n", 1, NameIsPath),
        (b"file a\\b seq 1 type i\n", 1, NameIsPath),
        (b"file \"a\\\\b\" seq 1 type i\n", 1, NameIsPath),
        (b"file a seq 1 type x\n", 1, UnknownType),
        (b"file a seq 1 type I\n", 1, UnknownType),
        (b"file a seq -1 type i\n", 1, NonMonotonic),
        (b"file a seq 1 type i\nfile b seq 1 type i\n", 2, NonMonotonic),
        (b"file a seq 2 type i\nfile b seq 1 type i\n", 2, NonMonotonic),
        (b"# two\nfile a seq 1 type b\nfile b seq 2 type b\n", 3, SecondBase),
        // Ours.
        (b"file \"\" seq 1 type i\n", 1, NameIsPath),
        (b"file . seq 1 type i\n", 1, NameIsPath),
        (b"file .. seq 1 type i\n", 1, NameIsPath),
        (b"file a seq 1 type i\nfile a seq 2 type i\n", 2, SameFileTwice),
        (b"file a seq 1 type i\nfile a seq 1 type b\n", 2, SameFileTwice),
        (b"file a seq 99999999999999999999 type i\n", 1, SeqTooLarge),
        (b"file \xff seq 1 type i\n", 1, NameIsNoText),
    ];
    for (text, line, flaw) in table {
        let error = Manifest::parse(text).expect_err(&String::from_utf8_lossy(text));
        assert_eq!((error.line, error.flaw), (*line, *flaw), "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn an_error_tells_what_redis_logs() {
    let report = |text: &[u8]| Manifest::parse(text).expect_err("it is bad").report();
    let title = "*** FATAL AOF MANIFEST FILE ERROR ***";
    assert_eq!(report(b""), [title, "Found an empty AOF manifest"]);
    assert_eq!(
        report(b"#\n file a seq 1 type x\n"),
        [title, "Reading the manifest file, at line 2", ">>> 'file a seq 1 type x'", "Unknown AOF file type"]
    );
    let error = Manifest::parse(b"file a/ seq 1 type i\n").expect_err("a path");
    assert_eq!(error.to_string(), "the AOF manifest is bad at line 1: File can't be a path, just a filename");
}

#[test]
fn it_is_written_as_redis_writes_it() {
    let manifest = Manifest {
        base: Some(ManifestFile::base("appendonly.aof", 2, BaseFormat::Rdb)),
        increments: vec![
            ManifestFile { end_offset: Some(200), ..ManifestFile::increment("appendonly.aof", 4, 123, 23) },
            file("a blank", 5),
        ],
        history: vec![ManifestFile::base("appendonly.aof", 1, BaseFormat::Aof)],
    };
    let text = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                file appendonly.aof.1.base.aof seq 1 type h\n\
                file appendonly.aof.4.incr.aof seq 4 type i startoffset 100 endoffset 200\n\
                file \"a blank\" seq 5 type i\n";
    assert_eq!(String::from_utf8(manifest.write()).unwrap(), text);
}

#[test]
fn any_name_that_is_one_survives() {
    for name in
        ["plain", "with blank", "\"", "it's", "tab\tbell\x07\x08\r\n", "gr\u{fc}n", "\x7f\x01", "#", " x "]
    {
        let manifest = increments(&[file(name, 1)]);
        assert_eq!(Manifest::parse(&manifest.write()), Ok(manifest), "{name:?}");
    }
}

#[test]
fn a_name_that_could_not_be_written_again_is_refused() {
    let line = |count| format!("file {}a seq 1 type i\n", "\x01".repeat(count));
    assert!(Manifest::parse(line(200).as_bytes()).is_ok());
    let error = Manifest::parse(line(300).as_bytes()).expect_err("escapes take four bytes");
    assert_eq!(error.flaw, ManifestFlaw::NameTooLong);
    let longest =
        increments(&[ManifestFile { start_offset: Some(i64::MIN), ..file(&"\u{fc}".repeat(127), 1 << 60) }]);
    assert_eq!(Manifest::parse(&longest.write()), Ok(longest));
}

#[test]
fn new_files_take_the_numbers_after_all_that_are_there() {
    assert_eq!((Manifest::default().next_base_seq(), Manifest::default().next_increment_seq()), (1, 1));
    let text =
        "file a.3.base.rdb seq 3 type b\nfile a.4.base.rdb seq 4 type h\nfile a.9.incr.aof seq 9 type h\n";
    let mut manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!((manifest.next_base_seq(), manifest.next_increment_seq()), (5, 10));
    manifest.increments.push(file("a.11.incr.aof", 11));
    assert_eq!((manifest.next_base_seq(), manifest.next_increment_seq()), (5, 12));
}

#[test]
fn a_preamble_is_subtracted_even_below_zero() {
    let start = |start, preamble| ManifestFile::increment("a", 1, start, preamble).start_offset;
    assert_eq!(start(1000, 23), Some(977));
    assert_eq!(start(0, 23), Some(-23));
    assert_eq!(start(u64::MAX, 23), None);
    // This one Redis takes for unknown, and arrives one byte off: there is no way to say it.
    let manifest = increments(&[ManifestFile::increment("a", 1, 22, 23)]);
    assert_eq!(manifest.write(), b"file a.1.incr.aof seq 1 type i\n");
}

#[test]
fn a_file_from_before_7_becomes_the_base() {
    // As redis-server 7.0.15, 8.2.3 and valkey-server 9.1.2 did it.
    const NAME: &str = "appendonly.aof";
    let read = |text: &str| Manifest::parse(text.as_bytes()).unwrap();
    let base = Manifest { base: Some(ManifestFile::legacy_base(NAME)), ..Manifest::default() };
    let only_history = read("file z seq 1 type h\n");
    let with_increment = read("file appendonly.aof seq 1 type b\nfile a seq 1 type i\n");
    let other = read("file b seq 1 type b\n");
    let of = |is_beside_folder, is_in_folder, manifest| {
        LegacyState { append_file_name: NAME, is_beside_folder, is_in_folder, manifest }
            .manifest_before_move()
    };
    assert_eq!(of(true, false, None), Some(base.clone()));
    assert_eq!(
        of(true, false, Some(&only_history)),
        Some(Manifest { history: vec![file("z", 1)], ..base.clone() })
    );
    assert_eq!(of(true, false, Some(&base)), Some(base.clone()), "a crash after the manifest was written");
    assert_eq!(of(true, true, Some(&base)), None);
    assert_eq!(of(true, false, Some(&with_increment)), None);
    assert_eq!(of(true, false, Some(&other)), None);
    assert_eq!(of(false, false, None), None);
    assert_eq!(base.write(), b"file appendonly.aof seq 1 type b\n");
}

#[test]
fn every_prefix_and_every_flipped_bit_has_one_outcome() {
    let text = b"# x\nfile \"a b\" seq 1 type b\nfile c seq 2 type i startoffset -5 endoffset 9\nfile d seq 1 type h\n";
    let read = |bytes: &[u8]| match Manifest::parse(bytes) {
        Ok(manifest) => {
            let written = manifest.write();
            match written.is_empty() {
                true => assert_eq!(manifest, Manifest::default()),
                false => assert_eq!(Manifest::parse(&written), Ok(manifest)),
            }
        }
        Err(error) => assert!(error.line as usize <= bytes.len() && !error.report().is_empty()),
    };
    for end in 0..=text.len() {
        read(&text[..end]);
    }
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.to_vec();
            flipped[at] ^= 1 << bit;
            read(&flipped);
        }
    }
}
