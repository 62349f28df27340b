//! LOLWUT: the versions below a drawing.

use rejoin_protocol::number::parse_i64;

use crate::{Call, Command, Failure, Flags, session::connection::REDIS_VERSION};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "lolwut",
    -1,
    Flags::READONLY.union(Flags::FAST),
    "server",
    "5.0.0",
    "Draws something, and tells the versions.",
    lolwut,
)];

const COLUMNS: usize = 60;
/// How far apart the two streams get.
const DEPTH: usize = 4;

/// LOLWUT [VERSION version [number ...]]: the drawing for those versions of Redis that have one; the numbers, which shape
/// theirs, change nothing here.
fn lolwut(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut is_drawn = true;
    if let [option, version, numbers @ ..] = &call.args[1..]
        && option.eq_ignore_ascii_case(b"version")
    {
        let version = parse_i64(version).ok_or(Failure::NotAnInteger)?;
        if numbers.iter().any(|number| parse_i64(number).is_none()) {
            return Err(Failure::NotAnInteger);
        }
        is_drawn = matches!(version, 5..=7);
    }
    let mut text = String::new();
    if is_drawn {
        let (leaves, stays) = (call.engine.random() as usize, call.engine.random() as usize);
        text = draw(leaves, stays);
        text.push_str("\nA stream that was cut, and rejoined with what it had. ");
        text.push_str(concat!("Rejoin ver. ", env!("CARGO_PKG_VERSION"), ", "));
    }
    text.push_str("Redis ver. ");
    text.push_str(REDIS_VERSION);
    text.push('\n');
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

/// Two streams run beside each other; the lower one leaves at a random place, is gone for a random while, and comes back.
fn draw(leaves: usize, stays: usize) -> String {
    let leaves = 4 + leaves % (COLUMNS / 3);
    let away = 4 + stays % (COLUMNS / 4);
    let returns = leaves + 2 * DEPTH + away;
    let mut text = "━".repeat(COLUMNS);
    for row in 0..=DEPTH {
        text.push('\n');
        text.extend((0..COLUMNS).map(|column| match row {
            0 if column < leaves || column > returns => '─',
            _ if column == leaves + row => '╲',
            _ if column == returns - row => '╱',
            DEPTH
                if column > leaves + DEPTH
                    && column < returns - DEPTH
                    && (column - leaves).is_multiple_of(3) =>
            {
                '·'
            }
            _ => ' ',
        }));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_always_comes_back() {
        for (leaves, stays) in [(0, 0), (usize::MAX, usize::MAX), (7, 12_345)] {
            let text = draw(leaves, stays);
            let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
            assert_eq!(lines.len(), DEPTH + 2);
            assert!(lines.iter().all(|line| line.len() == COLUMNS), "{text}");
            assert_eq!((lines[1][0], lines[1][COLUMNS - 1]), ('─', '─'), "{text}");
            assert!(lines[1..].iter().all(|line| line.contains(&'╲') && line.contains(&'╱')), "{text}");
        }
    }
}
