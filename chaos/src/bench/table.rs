//! The rows of the bench's table.

use std::fmt;

use super::{Measured, Outcome, median_of};

/// One workload's figures.
pub(super) struct Row {
    workload: String,
    redis: Measured,
    node: Measured,
    throughput_ratio: f64,
    cpu_ratio: f64,
    cpu_ratio_range: (f64, f64),
    /// The server that does nothing.
    floor: Measured,
}

impl Row {
    pub(super) const HEADING: &'static str = "workload                  redis k/s  node k/s   ratio    limit | redis us   node us  floor us  CPU ratio (lowest..highest)";

    /// Ratios are taken round by round, so that what disturbs the machine disturbs both halves of a ratio.
    pub(super) fn new(workload: String, redis: &[Measured], node: &[Measured], floor: Measured) -> Self {
        let ratios = |figure: fn(&Measured) -> f64| -> Vec<f64> {
            redis.iter().zip(node).map(|(redis, node)| figure(node) / figure(redis)).collect()
        };
        let medians = |measured: &[Measured]| Measured {
            per_second: median_of(measured, |one| one.per_second),
            cpu_us_per_operation: median_of(measured, |one| one.cpu_us_per_operation),
        };
        let cpu = ratios(|one| one.cpu_us_per_operation);
        let lowest = cpu.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = cpu.iter().copied().fold(0.0, f64::max);
        Self {
            workload,
            redis: medians(redis),
            node: medians(node),
            throughput_ratio: median(ratios(|one| one.per_second)),
            cpu_ratio: median(cpu),
            cpu_ratio_range: (lowest, highest),
            floor,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            workload: self.workload.clone(),
            cpu_ratio: self.cpu_ratio,
            throughput_ratio: self.throughput_ratio,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<24}{:>11.1}{:>10.1}{:>8.2}{:>9.1} | {:>8.2}{:>10.2}{:>10.2}{:>11.2} ({:.2}..{:.2})",
            self.workload,
            self.redis.per_second / 1000.0,
            self.node.per_second / 1000.0,
            self.throughput_ratio,
            self.floor.per_second / 1000.0,
            self.redis.cpu_us_per_operation,
            self.node.cpu_us_per_operation,
            self.floor.cpu_us_per_operation,
            self.cpu_ratio,
            self.cpu_ratio_range.0,
            self.cpu_ratio_range.1,
        )
    }
}

/// The middle value, or the mean of the two in the middle; zero of nothing.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }
}
