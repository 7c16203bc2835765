//! Percentiles of what was measured.

/// Measured values in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Figures {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Figures(values)
    }

    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// The least value that at least `percent` of all values do not exceed (nearest rank); `None` of nothing.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).or(self.0.last()).copied()
    }

    pub fn max(&self) -> Option<f64> {
        self.0.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let figures = Figures::of((1..=100).rev().map(f64::from));
        let all: Vec<_> = [0.0, 1.0, 50.0, 99.0, 99.5, 100.0].iter().map(|p| figures.percentile(*p).unwrap()).collect();
        assert_eq!(all, [1.0, 1.0, 50.0, 99.0, 100.0, 100.0]);
        assert_eq!(Figures::of([3.0, 1.0]).percentile(50.0), Some(1.0));
        assert_eq!((figures.n(), figures.max()), (100, Some(100.0)));
    }

    #[test]
    fn nothing_measured_has_no_figure() {
        let none = Figures::of([f64::NAN]);
        assert_eq!((none.n(), none.percentile(50.0), none.max()), (0, None, None));
    }
}
