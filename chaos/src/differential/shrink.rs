//! Makes a failing program short by leaving out steps, as long as that stays cheap.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::pair::Pair;
use super::runner::{self, Mismatch};
use super::step::Step;

const TIME_MAX: Duration = Duration::from_secs(20);

/// Leaves out ever smaller stretches of steps while what remains still differs. Any difference counts: the shortest way to
/// see one is what is wanted, not the way to one certain difference.
pub(super) fn shrink(
    pair: &mut Pair,
    program: &[Step],
    mismatch: &Mismatch,
) -> Result<(Vec<Step>, Mismatch)> {
    let give_up_at = Instant::now() + TIME_MAX;
    let end = program.len().min(mismatch.step + 1);
    let mut best = (program[..end].to_vec(), mismatch.clone());
    let mut stretch = (best.0.len() / 2).max(1);
    loop {
        let mut at = 0;
        let mut left_out_any = false;
        while at < best.0.len() {
            if Instant::now() > give_up_at {
                return Ok(best);
            }
            let mut candidate = best.0.clone();
            candidate.drain(at..(at + stretch).min(candidate.len()));
            // A server that stopped answering has said enough.
            let Ok(outcome) = runner::run(pair, &candidate) else { return Ok(best) };
            match outcome {
                Some(mismatch) => {
                    candidate.truncate(mismatch.step + 1);
                    best = (candidate, mismatch);
                    left_out_any = true;
                }
                None => at += stretch,
            }
        }
        if stretch == 1 && !left_out_any {
            return Ok(best);
        }
        stretch = (stretch / 2).max(1);
    }
}
