use super::{Point, Rect};

/// Turns, scales and shifts, and keeps shapes: `(x, y) → (a·x − b·y + dx, b·x + a·y + dy)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    a: f64,
    b: f64,
    dx: f64,
    dy: f64,
}

impl Similarity {
    /// The one that brings `from` closest to `to`, by least squares (Umeyama 1991, without reflection).
    ///
    /// `None` where the points are fewer than two, lie on one spot, or are not numbers.
    pub fn fit(from: &[Point], to: &[Point]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let (p, q) = (mean(from), mean(to));
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (f, t) in from.iter().zip(to) {
            let (fx, fy) = (f64::from(f.x) - p.0, f64::from(f.y) - p.1);
            let (tx, ty) = (f64::from(t.x) - q.0, f64::from(t.y) - q.1);
            along += fx * tx + fy * ty;
            across += fx * ty - fy * tx;
            spread += fx * fx + fy * fy;
        }
        let (a, b) = (along / spread, across / spread);
        let found = Self { a, b, dx: q.0 - a * p.0 + b * p.1, dy: q.1 - b * p.0 - a * p.1 };
        let fine = spread > 0.0 && found.scale() > 0.0;
        (fine && found.dx.is_finite() && found.dy.is_finite() && found.scale().is_finite()).then_some(found)
    }

    /// Maps a square of this side onto an upright square of the picture.
    pub(crate) fn onto_square(side: f32, square: Rect) -> Option<Self> {
        let scale = f64::from(square.width) / f64::from(side);
        let found = Self { a: scale, b: 0.0, dx: f64::from(square.x), dy: f64::from(square.y) };
        (scale.is_finite() && scale > 0.0 && found.dx.is_finite() && found.dy.is_finite()).then_some(found)
    }

    /// The way back.
    #[must_use]
    pub fn inverse(self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self { a, b, dx: b * self.dy - a * self.dx, dy: -b * self.dx - a * self.dy }
    }

    /// Where a place goes to.
    pub(super) fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (self.a * x - self.b * y + self.dx, self.b * x + self.a * y + self.dy)
    }

    /// How many times larger things become.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }
}

fn mean(points: &[Point]) -> (f64, f64) {
    let n = points.len() as f64;
    let sum = points.iter().fold((0.0, 0.0), |(x, y), p| (x + f64::from(p.x), y + f64::from(p.y)));
    (sum.0 / n, sum.1 / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(x: f32, y: f32) -> Point {
        Point { x, y }
    }

    #[test]
    fn it_finds_turn_scale_and_shift() {
        let from = [p(0.0, 0.0), p(10.0, 0.0), p(0.0, 10.0), p(3.0, 4.0)];
        // A quarter turn, twice the size, then 5 to the right and 7 down.
        let to = from.map(|f| p(-2.0 * f.y + 5.0, 2.0 * f.x + 7.0));
        let found = Similarity::fit(&from, &to).unwrap();
        assert!((found.scale() - 2.0).abs() < 1e-9);
        for (f, t) in from.iter().zip(&to) {
            let (x, y) = found.apply(f.x.into(), f.y.into());
            assert!((x - f64::from(t.x)).abs() < 1e-6 && (y - f64::from(t.y)).abs() < 1e-6);
            let back = found.inverse().apply(x, y);
            assert!((back.0 - f64::from(f.x)).abs() < 1e-6 && (back.1 - f64::from(f.y)).abs() < 1e-6);
        }
    }

    #[test]
    fn it_finds_none_where_there_is_none() {
        assert_eq!(Similarity::fit(&[p(1.0, 1.0); 5], &[p(2.0, 2.0); 5]), None);
        assert_eq!(Similarity::fit(&[p(0.0, 0.0), p(1.0, 0.0)], &[p(2.0, 2.0); 2]), None);
        assert_eq!(Similarity::fit(&[p(f32::NAN, 0.0), p(1.0, 0.0)], &[p(0.0, 0.0), p(1.0, 1.0)]), None);
        assert_eq!(Similarity::fit(&[p(0.0, 0.0)], &[p(0.0, 0.0)]), None);
    }
}
