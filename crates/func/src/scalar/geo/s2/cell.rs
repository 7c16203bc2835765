//! Cells of S2: the sphere on the six faces of a cube, each face cut into four again and again along a Hilbert curve.
//!
//! In: unit vectors. Out: 64-bit numbers, of which the first three bits are the face and two bits a level follow, ended by a 1.
//! Promise: the numbers are those of the S2 library with its quadratic projection.

pub(super) type Vector = [f64; 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell(pub u64);

const LEVELS: u32 = 30;
/// Leaf cells along one edge of a face.
const SIDE: i64 = 1 << LEVELS;

/// Position on the curve of a quarter (its bits of i and j), for each of the four orientations.
const POSITION: [[u8; 4]; 4] = [[0, 1, 3, 2], [0, 3, 1, 2], [2, 3, 1, 0], [2, 1, 3, 0]];
/// How the orientation changes within the quarter at a position.
const TURN: [usize; 4] = [1, 0, 0, 3];

/// The unit vector at a longitude and a latitude, in radians.
pub(super) fn point(lon: f64, lat: f64) -> Vector {
    [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
}

/// Longitude and latitude of a vector, in radians.
pub(super) fn place_of([x, y, z]: Vector) -> (f64, f64) {
    (y.atan2(x), z.atan2((x * x + y * y).sqrt()))
}

fn face_uv([x, y, z]: Vector) -> (usize, f64, f64) {
    let size = [x.abs(), y.abs(), z.abs()];
    let axis = if size[0] > size[1] {
        if size[0] > size[2] { 0 } else { 2 }
    } else if size[1] > size[2] {
        1
    } else {
        2
    };
    let negative = [x, y, z][axis] < 0.0;
    match (axis, negative) {
        (0, false) => (0, y / x, z / x),
        (1, false) => (1, -x / y, z / y),
        (2, false) => (2, -x / z, -y / z),
        (0, true) => (3, z / x, y / x),
        (1, true) => (4, z / y, -x / y),
        _ => (5, -y / z, -x / z),
    }
}

fn vector(face: usize, u: f64, v: f64) -> Vector {
    match face {
        0 => [1.0, u, v],
        1 => [-u, 1.0, v],
        2 => [-u, -v, 1.0],
        3 => [-1.0, -v, -u],
        4 => [v, -1.0, -u],
        _ => [v, u, -1.0],
    }
}

/// From the cube's flat coordinate to one in which cells have nearly one size.
fn flat_to_even(u: f64) -> f64 {
    if u >= 0.0 { 0.5 * (1.0 + 3.0 * u).sqrt() } else { 1.0 - 0.5 * (1.0 - 3.0 * u).sqrt() }
}

fn even_to_flat(s: f64) -> f64 {
    let third = 1.0 / 3.0;
    if s >= 0.5 { third * (4.0 * s * s - 1.0) } else { third * (1.0 - 4.0 * (1.0 - s) * (1.0 - s)) }
}

fn step(s: f64) -> i64 {
    ((SIDE as f64 * s).floor() as i64).clamp(0, SIDE - 1)
}

fn leaf(face: usize, i: i64, j: i64) -> Cell {
    let mut orientation = face & 1;
    let mut path = 0u64;
    for level in (0..LEVELS).rev() {
        let quarter = (i >> level & 1) << 1 | j >> level & 1;
        let position = POSITION[orientation][quarter as usize];
        path = path << 2 | u64::from(position);
        orientation ^= TURN[usize::from(position)];
    }
    Cell((face as u64) << 61 | path << 1 | 1)
}

impl Cell {
    /// The leaf cell that a vector points into.
    pub fn at(vector: Vector) -> Cell {
        let (face, u, v) = face_uv(vector);
        leaf(face, step(flat_to_even(u)), step(flat_to_even(v)))
    }

    pub fn is_valid(self) -> bool {
        self.face() < 6 && self.last_bit() & 0x1555_5555_5555_5555 != 0
    }

    fn face(self) -> usize {
        (self.0 >> 61) as usize
    }

    fn last_bit(self) -> u64 {
        self.0 & self.0.wrapping_neg()
    }

    /// 0 for a face, 30 for a leaf.
    fn level(self) -> u32 {
        LEVELS - self.0.trailing_zeros() / 2
    }

    fn parent(self, level: u32) -> Cell {
        let bit = 1u64 << (2 * (LEVELS - level));
        Cell(self.0 & bit.wrapping_neg() | bit)
    }

    /// A leaf within the cell, as steps along both edges of its face.
    fn steps(self) -> (i64, i64) {
        let mut orientation = self.face() & 1;
        let (mut i, mut j) = (0, 0);
        for level in (0..LEVELS).rev() {
            let position = (self.0 >> (2 * level + 1) & 3) as u8;
            let quarter = POSITION[orientation].iter().position(|p| *p == position).unwrap_or(0) as i64;
            i = i << 1 | quarter >> 1;
            j = j << 1 | quarter & 1;
            orientation ^= TURN[usize::from(position)];
        }
        (i, j)
    }

    /// The unit vector of the middle.
    pub fn center(self) -> Vector {
        let [x, y, z] = self.direction();
        let length = (x * x + y * y + z * z).sqrt();
        [x / length, y / length, z / length]
    }

    /// The middle on its face of the cube.
    fn direction(self) -> Vector {
        let (i, j) = self.steps();
        let shift = match self.0 & 1 {
            1 => 1,
            // The leaf that was found is one of the four around the middle.
            _ if (i ^ (self.0 as i64 >> 2)) & 1 != 0 => 2,
            _ => 0,
        };
        let middle = |n: i64| even_to_flat((2 * n + shift) as f64 / (2 * SIDE) as f64);
        vector(self.face(), middle(i), middle(j))
    }

    /// Longitude and latitude of the middle, in radians.
    pub fn place(self) -> (f64, f64) {
        place_of(self.direction())
    }

    /// The four cells of the same level that share an edge.
    pub fn neighbours(self) -> [Cell; 4] {
        let level = self.level();
        let size = 1 << (LEVELS - level);
        let (i, j) = self.steps();
        [(i, j - size), (i + size, j), (i, j + size), (i - size, j)].map(|(i, j)| {
            let inside = (0..SIDE).contains(&i) && (0..SIDE).contains(&j);
            let cell = if inside { leaf(self.face(), i, j) } else { self.beyond(i, j) };
            cell.parent(level)
        })
    }

    /// The leaf at steps just over an edge of the face.
    fn beyond(self, i: i64, j: i64) -> Cell {
        let flat = |n: i64| {
            let n = n.clamp(-1, SIDE);
            let limit = 1.0 + f64::EPSILON;
            ((2 * (n - SIDE / 2) + 1) as f64 / SIDE as f64).clamp(-limit, limit)
        };
        let (face, u, v) = face_uv(vector(self.face(), flat(i), flat(j)));
        leaf(face, step(0.5 * (u + 1.0)), step(0.5 * (v + 1.0)))
    }

    /// Whether one of two cells lies in the other.
    pub fn meets(self, other: Cell) -> bool {
        let range = |c: Cell| (c.0 - (c.last_bit() - 1), c.0 + (c.last_bit() - 1));
        let ((a, b), (c, d)) = (range(self), range(other));
        c <= b && d >= a
    }
}
