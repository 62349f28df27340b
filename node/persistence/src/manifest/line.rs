//! One line of a manifest, both ways.

use std::io::Write as _;

use rejoin_protocol::resp::split_args;

use super::{LINE_BYTES_MAX, ManifestFile, ManifestFlaw, SEQ_MAX};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    Increment,
    History,
}

impl Kind {
    const ALL: [(u8, Self); 3] = [(b'b', Self::Base), (b'i', Self::Increment), (b'h', Self::History)];

    fn of_letter(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == letter).map(|(_, kind)| kind)
    }

    fn letter(self) -> char {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or('?', |(letter, _)| letter.into())
    }
}

/// The lines, with their ends. What is longer than Redis reads at once counts as several, as it does there.
pub(super) fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
        let len = window.iter().position(|byte| *byte == b'\n').map_or(window.len(), |end| end + 1);
        let (piece, rest) = bytes.split_at(len);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A line without what surrounds it; `None` if it is a comment.
pub(super) fn trimmed(raw: &[u8]) -> Result<Option<&[u8]>, ManifestFlaw> {
    if raw.first() == Some(&b'#') {
        return Ok(None);
    }
    // To Redis a line ends at a NUL, and then lacks its `\n`.
    if !raw.ends_with(b"\n") || raw.contains(&0) {
        return Err(ManifestFlaw::LineTooLong);
    }
    let is_margin = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = raw.iter().position(|byte| !is_margin(byte)).unwrap_or(raw.len());
    let end = raw.iter().rposition(|byte| !is_margin(byte)).map_or(start, |last| last + 1);
    Ok(Some(&raw[start..end]))
}

/// Reads a trimmed line. Of a key that stands there twice the last one counts; unknown keys are passed over.
pub(super) fn parse(text: &[u8]) -> Result<(Kind, ManifestFile), ManifestFlaw> {
    let mut line = text.to_vec();
    let mut words = Vec::new();
    split_args(&mut line, &mut words).map_err(|_| ManifestFlaw::Format)?;
    let (pairs, rest) = words.as_chunks::<2>();
    if pairs.len() < 3 || !rest.is_empty() {
        return Err(ManifestFlaw::Format);
    }
    let (mut name, mut seq, mut letter) = (None, 0, None);
    let (mut start_offset, mut end_offset) = (None, None);
    for [key, value] in pairs {
        // To Redis a word ends at a NUL, which can only come from `\x00`.
        let [key, value] = [key, value].map(|word| until_nul(word.of(&line)));
        match key.to_ascii_lowercase().as_slice() {
            b"file" => name = Some(checked_name(value)?),
            b"seq" => seq = leading_number(value),
            b"type" => letter = value.first().copied(),
            b"startoffset" => start_offset = known(leading_number(value)),
            b"endoffset" => end_offset = known(leading_number(value)),
            _ => {}
        }
    }
    let (Some(name), Some(letter), true) = (name, letter, seq != 0) else { return Err(ManifestFlaw::Format) };
    let kind = Kind::of_letter(letter).ok_or(ManifestFlaw::UnknownType)?;
    if seq > SEQ_MAX {
        return Err(ManifestFlaw::SeqTooLarge);
    }
    let file = ManifestFile { name, seq, start_offset, end_offset };
    let mut again = Vec::new();
    write(&mut again, kind, &file);
    if again.len() > LINE_BYTES_MAX { Err(ManifestFlaw::NameTooLong) } else { Ok((kind, file)) }
}

/// Appends a line.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, file: &ManifestFile) {
    out.extend_from_slice(b"file ");
    write_name(out, file.name.as_bytes());
    // Writing into memory does not fail.
    let _ = write!(out, " seq {} type {}", file.seq, kind.letter());
    if let Some(start) = file.start_offset.and_then(known) {
        let _ = write!(out, " startoffset {start}");
    }
    if let Some(end) = file.end_offset.and_then(known) {
        let _ = write!(out, " endoffset {end}");
    }
    out.push(b'\n');
}

/// In quotes where Redis would read it otherwise, and where it would not either though it leaves them out: a name with
/// `'` that Redis itself writes, it cannot read.
fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !name.is_empty() && name.iter().all(is_plain) {
        return out.extend_from_slice(name);
    }
    out.push(b'"');
    for byte in name {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            // Redis would escape what is not ASCII, which takes four times the room, and reads it either way.
            b' '..=b'~' | 0x80.. => out.push(*byte),
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.push(b'"');
}

fn until_nul(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn checked_name(name: &[u8]) -> Result<String, ManifestFlaw> {
    if name.contains(&b'/') || name.contains(&b'\\') || matches!(name, b"" | b"." | b"..") {
        return Err(ManifestFlaw::NameIsPath);
    }
    String::from_utf8(name.to_vec()).map_err(|_| ManifestFlaw::NameIsNoText)
}

/// What C's `atoll` makes of a word: the digits it begins with, behind blanks and a sign; 0 if there are none. Where
/// those overflow, as glibc does, the largest or smallest number.
fn leading_number(word: &[u8]) -> i64 {
    let blanks = word.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let (is_negative, digits) = match &word[blanks..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0_i64, |number, byte| {
        let digit = i64::from(byte - b'0');
        let number = number.saturating_mul(10);
        if is_negative { number.saturating_sub(digit) } else { number.saturating_add(digit) }
    })
}

/// To Redis -1 is no offset.
fn known(offset: i64) -> Option<i64> {
    (offset != -1).then_some(offset)
}
