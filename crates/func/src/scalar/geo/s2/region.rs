//! Caps and rectangles on the sphere, in radians.

use super::cell::Vector;
use std::f64::consts::PI;

/// All points at most `radius` away from the center; none when it is negative.
#[derive(Clone, Debug)]
pub(super) struct Cap {
    pub center: Vector,
    pub radius: f64,
}

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: Vector) -> Vector {
    let length = dot(a, a).sqrt();
    a.map(|x| x / length)
}

fn angle(a: Vector, b: Vector) -> f64 {
    let side = cross(a, b);
    dot(side, side).sqrt().atan2(dot(a, b))
}

impl Cap {
    pub fn contains(&self, point: Vector) -> bool {
        let apart: f64 = self.center.iter().zip(point).map(|(x, y)| (x - y) * (x - y)).sum();
        let chord = 2.0 * (0.5 * self.radius.min(PI)).sin();
        self.radius >= 0.0 && apart.min(4.0) <= chord * chord
    }

    /// The smallest cap around both.
    pub fn union(&self, other: &Cap) -> Cap {
        if self.radius < other.radius {
            return other.union(self);
        }
        let apart = angle(self.center, other.center);
        if self.radius >= PI || other.radius < 0.0 || self.radius >= apart + other.radius {
            return self.clone();
        }
        let radius = (0.5 * (apart + self.radius + other.radius)).min(PI);
        let way = 0.5 * (apart - self.radius + other.radius);
        // Straight on from the center toward the other one.
        let ahead = unit(cross(cross(self.center, other.center), self.center));
        let center = std::array::from_fn(|i| self.center[i] * way.cos() + ahead[i] * way.sin());
        Cap { center: unit(center), radius }
    }
}

/// Longitudes that go up from `from` to `to`, over the date line when `to` is the smaller one.
#[derive(Clone, Copy, Debug)]
struct Arc {
    from: f64,
    to: f64,
}

/// No longitude.
const NOWHERE: Arc = Arc { from: PI, to: -PI };
/// All longitudes.
const ROUND: Arc = Arc { from: -PI, to: PI };

/// The way up from one longitude to another.
fn way(from: f64, to: f64) -> f64 {
    let way = to - from;
    if way >= 0.0 { way } else { way + 2.0 * PI }
}

impl Arc {
    fn is_empty(self) -> bool {
        self.from - self.to == 2.0 * PI
    }

    fn contains(self, lon: f64) -> bool {
        let lon = if lon == -PI { PI } else { lon };
        if self.from <= self.to {
            lon >= self.from && lon <= self.to
        } else {
            (lon >= self.from || lon <= self.to) && !self.is_empty()
        }
    }

    fn holds(self, other: Arc) -> bool {
        let wraps = |arc: Arc| arc.from > arc.to;
        match (wraps(self), wraps(other)) {
            (true, true) => other.from >= self.from && other.to <= self.to,
            (true, false) => (other.from >= self.from || other.to <= self.to) && !self.is_empty(),
            (false, true) => self.to - self.from == 2.0 * PI || other.is_empty(),
            (false, false) => other.from >= self.from && other.to <= self.to,
        }
    }

    fn with(self, lon: f64) -> Arc {
        if self.contains(lon) {
            return self;
        }
        if self.is_empty() {
            return Arc { from: lon, to: lon };
        }
        // The shorter way to it.
        if way(lon, self.from) < way(self.to, lon) { Arc { from: lon, ..self } } else { Arc { to: lon, ..self } }
    }

    fn union(self, other: Arc) -> Arc {
        if other.is_empty() {
            return self;
        }
        match (self.contains(other.from), self.contains(other.to)) {
            (true, true) if self.holds(other) => self,
            (true, true) => ROUND,
            (true, false) => Arc { from: self.from, to: other.to },
            (false, true) => Arc { from: other.from, to: self.to },
            (false, false) if self.is_empty() || other.contains(self.from) => other,
            _ if way(other.to, self.from) < way(self.to, other.from) => Arc { from: other.from, to: self.to },
            _ => Arc { from: self.from, to: other.to },
        }
    }

    fn common(self, other: Arc) -> Arc {
        if other.is_empty() {
            return NOWHERE;
        }
        let length = |arc: Arc| way(arc.from, arc.to);
        match (self.contains(other.from), self.contains(other.to)) {
            // Either one lies in the other, or they meet at both ends: then the shorter one stands for both pieces.
            (true, true) => {
                if length(other) < length(self) {
                    other
                } else {
                    self
                }
            }
            (true, false) => Arc { from: other.from, to: self.to },
            (false, true) => Arc { from: self.from, to: other.to },
            (false, false) if other.contains(self.from) => self,
            _ => NOWHERE,
        }
    }
}

/// Longitudes and latitudes between two corners.
#[derive(Clone, Debug)]
pub(super) struct Rect {
    lon: Arc,
    south: f64,
    north: f64,
}

impl Rect {
    pub fn between(low: (f64, f64), high: (f64, f64)) -> Rect {
        Rect { lon: Arc { from: low.0, to: high.0 }, south: low.1, north: high.1 }
    }

    fn nowhere() -> Rect {
        Rect { lon: NOWHERE, south: 1.0, north: 0.0 }
    }

    fn is_empty(&self) -> bool {
        self.south > self.north
    }

    pub fn low(&self) -> (f64, f64) {
        (self.lon.from, self.south)
    }

    pub fn high(&self) -> (f64, f64) {
        (self.lon.to, self.north)
    }

    pub fn contains(&self, (lon, lat): (f64, f64)) -> bool {
        lat >= self.south && lat <= self.north && self.lon.contains(lon)
    }

    pub fn with(&self, (lon, lat): (f64, f64)) -> Rect {
        let (south, north) = if self.is_empty() { (lat, lat) } else { (self.south.min(lat), self.north.max(lat)) };
        Rect { lon: self.lon.with(lon), south, north }
    }

    pub fn union(&self, other: &Rect) -> Rect {
        let (south, north) = match (self.is_empty(), other.is_empty()) {
            (true, _) => (other.south, other.north),
            (_, true) => (self.south, self.north),
            _ => (self.south.min(other.south), self.north.max(other.north)),
        };
        Rect { lon: self.lon.union(other.lon), south, north }
    }

    pub fn common(&self, other: &Rect) -> Rect {
        let lon = self.lon.common(other.lon);
        let (south, north) = (self.south.max(other.south), self.north.min(other.north));
        if south > north || lon.is_empty() { Rect::nowhere() } else { Rect { lon, south, north } }
    }
}
