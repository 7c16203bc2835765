//! Whether a ring is one: its edges meet nowhere but at the ends of neighbours.

type Point = (f64, f64);

/// Pairs of edges that are compared before a ring counts as valid: one that folds along a line has many.
pub const PAIRS_MAX: usize = 20_000_000;

/// Whether an edge of the ring meets one that is not its neighbour, or turns back on its neighbour.
///
/// Edges are looked at from left to right: each is compared with those that begin before it ends.
pub fn crosses_itself(ring: &[Point]) -> bool {
    let mut points = ring.to_vec();
    points.dedup();
    if points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    let n = points.len();
    if n < 3 {
        return false;
    }
    let edge = |i: usize| (points[i], points[(i + 1) % n]);
    let left = |i: usize| edge(i).0.0.min(edge(i).1.0);
    let right = |i: usize| edge(i).0.0.max(edge(i).1.0);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| left(*a).total_cmp(&left(*b)));
    let mut pairs = 0;
    for (at, &i) in order.iter().enumerate() {
        for &j in order[at + 1..].iter().take_while(|j| left(**j) <= right(i)) {
            pairs += 1;
            if pairs > PAIRS_MAX {
                return false;
            }
            let ((a, b), (c, d)) = (edge(i), edge(j));
            let bad = if (i + 1) % n == j {
                turns_back(b, a, d)
            } else if (j + 1) % n == i {
                turns_back(a, b, c)
            } else {
                meet(a, b, c, d)
            };
            if bad {
                return true;
            }
        }
    }
    false
}

fn turn(o: Point, a: Point, b: Point) -> f64 {
    (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0)
}

/// Whether the ways from `o` to `a` and to `b` begin alike.
fn turns_back(o: Point, a: Point, b: Point) -> bool {
    turn(o, a, b) == 0.0 && (a.0 - o.0) * (b.0 - o.0) + (a.1 - o.1) * (b.1 - o.1) > 0.0
}

fn meet(a: Point, b: Point, c: Point, d: Point) -> bool {
    let (to_c, to_d, to_a, to_b) = (turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b));
    if to_c * to_d < 0.0 && to_a * to_b < 0.0 {
        return true;
    }
    let within = |p: Point, q: Point, r: Point| {
        r.0 >= p.0.min(q.0) && r.0 <= p.0.max(q.0) && r.1 >= p.1.min(q.1) && r.1 <= p.1.max(q.1)
    };
    (to_c == 0.0 && within(a, b, c))
        || (to_d == 0.0 && within(a, b, d))
        || (to_a == 0.0 && within(c, d, a))
        || (to_b == 0.0 && within(c, d, b))
}

#[cfg(test)]
mod tests {
    use super::crosses_itself;

    #[test]
    fn rings_do_not_cross() {
        assert!(!crosses_itself(&[(0.0, 0.0), (0.0, 5.0), (5.0, 5.0), (5.0, 0.0)]));
        assert!(!crosses_itself(&[(0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)]));
        // A bow tie, a spike, a ring that touches itself.
        assert!(crosses_itself(&[(0.0, 0.0), (5.0, 5.0), (5.0, 0.0), (0.0, 5.0)]));
        assert!(crosses_itself(&[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0), (5.0, 3.0), (5.0, 9.0), (0.0, 5.0)]));
        assert!(crosses_itself(&[(0.0, 0.0), (4.0, 0.0), (2.0, 2.0), (4.0, 4.0), (0.0, 4.0), (2.0, 2.0)]));
    }
}
