//! How two shapes lie to each other in the plane: whether one is within the other, whether they are equal, how far apart.
//!
//! In: rings, polygons or multipolygons. Out: answers of 0 and 1, or a distance. Edges are cut where they meet, and each piece is
//! asked where its middle lies, so that shapes that touch are told from shapes that cross.

use super::shapes::{Point, Polygon, depth, polygons, sides};
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{flags, float64s};
use crate::scalar::define::{Call, define};
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use hydron_types::column::value_at;

type Shape = [Polygon];

/// Pairs of edges that one comparison looks at.
const EDGE_PAIRS_MAX: usize = 100_000_000;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "polygons_within_cartesian", |call| {
        compare(call, LogicalType::UInt8, within, |held| flags(held.len(), |i| held[i]))
    });
    define(registry, "polygons_equals_cartesian", |call| {
        compare(call, LogicalType::UInt8, |a, b| within(a, b) && within(b, a), |held| flags(held.len(), |i| held[i]))
    });
    define(registry, "polygons_distance_cartesian", |call| {
        compare(call, LogicalType::Float64, distance, |far| float64s(far.len(), |i| far[i]))
    });
}

fn compare<T: Send + Sync + 'static>(
    call: &Call<'_>,
    ty: LogicalType,
    of: fn(&Shape, &Shape) -> T,
    make: fn(Vec<T>) -> ArrayRef,
) -> Result<BoundCall> {
    call.arity(2..=2)?;
    let deep = |i: usize| depth(call.ty(i)).filter(|n| *n > 0).ok_or_else(|| call.illegal(i));
    let (first, second) = (deep(0)?, deep(1)?);
    let types = call.types();
    call.returns(ty, move |args, rows| {
        let (a, b) = (args[0].to_array(rows)?, args[1].to_array(rows)?);
        let answers = (0..rows).map(|row| {
            let a = polygons(&value_at(&a, &types[0], row), first);
            let b = polygons(&value_at(&b, &types[1], row), second);
            let pairs = edges(&a).count().saturating_mul(edges(&b).count());
            if pairs > EDGE_PAIRS_MAX {
                let text = format!("the shapes have {pairs} pairs of edges, at most {EDGE_PAIRS_MAX}");
                return Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, text));
            }
            Ok(of(&a, &b))
        });
        Ok(make(answers.collect::<Result<Vec<T>>>()?))
    })
}

fn edges(shape: &Shape) -> impl Iterator<Item = (Point, Point)> + '_ {
    shape.iter().flatten().flat_map(|ring| sides(ring)).filter(|(a, b)| a != b)
}

fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

fn on_edge(p: Point, (a, b): (Point, Point)) -> bool {
    // The middle of a piece is worked out, so it may lie off its line by what floats lose.
    let length = (b.0 - a.0).hypot(b.1 - a.1);
    let inside = |v: f64, m: f64, n: f64| v >= m.min(n) - 1e-12 * length && v <= m.max(n) + 1e-12 * length;
    turn(a, b, p).abs() <= 1e-12 * length * length && inside(p.0, a.0, b.0) && inside(p.1, a.1, b.1)
}

#[derive(PartialEq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

fn side(p: Point, shape: &Shape) -> Side {
    if edges(shape).any(|e| on_edge(p, e)) {
        return Side::Edge;
    }
    let crossed = |ring: &[Point]| {
        sides(ring)
            .filter(|(a, b)| (a.1 > p.1) != (b.1 > p.1) && p.0 < (b.0 - a.0) * (p.1 - a.1) / (b.1 - a.1) + a.0)
            .count()
    };
    // Of each polygon a point is within the outer ring and in none of its holes.
    let inside = shape.iter().any(|polygon| polygon.iter().map(|ring| crossed(ring)).sum::<usize>() % 2 == 1);
    if inside { Side::Inside } else { Side::Outside }
}

/// The middles of the pieces into which the edges of `shape` are cut by those of `other`.
fn middles(shape: &Shape, other: &Shape) -> Vec<Point> {
    let mut all = Vec::new();
    for (a, b) in edges(shape) {
        let at = |t: f64| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
        let mut cuts = vec![0.0, 1.0];
        for (c, d) in edges(other) {
            let (from, to) = (turn(c, d, a), turn(c, d, b));
            if from != to && (from > 0.0) != (to > 0.0) {
                cuts.push(from / (from - to));
            }
            // Along one line the ends of the other edge cut too.
            let length = (b.0 - a.0).powi(2) + (b.1 - a.1).powi(2);
            for p in [c, d] {
                if on_edge(p, (a, b)) {
                    cuts.push(((p.0 - a.0) * (b.0 - a.0) + (p.1 - a.1) * (b.1 - a.1)) / length);
                }
            }
        }
        cuts.retain(|t| (0.0..=1.0).contains(t));
        cuts.sort_by(f64::total_cmp);
        all.extend(cuts.windows(2).filter(|w| w[1] - w[0] > 1e-12).map(|w| at((w[0] + w[1]) / 2.0)));
    }
    all
}

/// Whether all of `a` is in `b`, edges included. An empty shape is in none.
fn within(a: &Shape, b: &Shape) -> bool {
    let border = middles(a, b);
    let begins_inside = border.iter().any(|p| side(*p, b) == Side::Inside) || has_inside(a, b);
    begins_inside
        && border.iter().all(|p| side(*p, b) != Side::Outside)
        // No edge of `b` runs through the inside of `a`: there would be a hole of `b`, or its end.
        && middles(b, a).iter().all(|p| side(*p, a) != Side::Inside)
}

/// Whether a point just inside of `a` is inside of `b`: where all edges of `a` lie on those of `b`, it may fill a hole of `b`.
fn has_inside(a: &Shape, b: &Shape) -> bool {
    edges(a).any(|(p, q)| {
        let (dx, dy) = ((q.0 - p.0) * 1e-6, (q.1 - p.1) * 1e-6);
        let middle = ((p.0 + q.0) / 2.0, (p.1 + q.1) / 2.0);
        let beside = [(middle.0 - dy, middle.1 + dx), (middle.0 + dy, middle.1 - dx)];
        beside.iter().any(|p| side(*p, a) == Side::Inside && side(*p, b) == Side::Inside)
    })
}

fn distance(a: &Shape, b: &Shape) -> f64 {
    let meets = |x: &Shape, y: &Shape| edges(x).any(|(p, _)| side(p, y) != Side::Outside);
    if meets(a, b) || meets(b, a) || middles(a, b).iter().any(|p| side(*p, b) != Side::Outside) {
        return 0.0;
    }
    let to_edge = |p: Point, (c, d): (Point, Point)| {
        let length = (d.0 - c.0).powi(2) + (d.1 - c.1).powi(2);
        let t = (((p.0 - c.0) * (d.0 - c.0) + (p.1 - c.1) * (d.1 - c.1)) / length).clamp(0.0, 1.0);
        // The ends themselves, not what rounding makes of them.
        let nearest = if t == 1.0 { d } else { (c.0 + (d.0 - c.0) * t, c.1 + (d.1 - c.1) * t) };
        let (x, y) = (p.0 - nearest.0, p.1 - nearest.1);
        (x * x + y * y).sqrt()
    };
    let nearest = |x: &Shape, y: &Shape| {
        edges(x).flat_map(|(p, _)| edges(y).map(move |e| to_edge(p, e))).fold(f64::INFINITY, f64::min)
    };
    nearest(a, b).min(nearest(b, a))
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::{check, check_errors};

    #[test]
    fn shapes_within_equal_and_apart() {
        check(
            r"
            polygons_within_cartesian | array(array(tuple(float64, float64))):[[(2,2),(2,3),(3,3),(3,2)]] ; array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1),(1,1)]] | uint8:1
            polygons_within_cartesian | array(array(tuple(float64, float64))):[[(2,2),(2,5),(3,5),(3,2)]] ; array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1),(1,1)]] | uint8:0
            polygons_within_cartesian | array(array(tuple(float64, float64))):[[(1,1),(1,2),(2,2),(2,1)]] ; array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1)]] | uint8:1
            polygons_within_cartesian | array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1)]] ; array(array(tuple(float64, float64))):[[(0,0),(0,5),(5,5),(5,0)],[(2,2),(2,3),(3,3),(3,2)]] | uint8:0
            polygons_within_cartesian | array(array(tuple(float64, float64))):[[(2,2),(2,3),(3,3),(3,2)]] ; array(array(tuple(float64, float64))):[[(0,0),(0,5),(5,5),(5,0)],[(2,2),(2,3),(3,3),(3,2)]] | uint8:0
            polygons_equals_cartesian | array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1)]] ; array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1),(1,1)]] | uint8:1
            polygons_equals_cartesian | array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,1)]] ; array(array(tuple(float64, float64))):[[(1,1),(1,4),(4,4),(4,2),(1,1)]] | uint8:0
            polygons_distance_cartesian | array(array(tuple(float64, float64))):[[(0,0),(0,0.1),(0.1,0.1),(0.1,0)]] ; array(array(tuple(float64, float64))):[[(10,10),(10,40),(40,40),(40,10),(10,10)]] | float64:14.000714267493642
            polygons_distance_cartesian | array(tuple(float64, float64)):[(0,0),(0,4),(4,4),(4,0)] ; array(tuple(float64, float64)):[(1,1),(1,2),(2,2),(2,1)] | float64:0
            ",
        );
        check_errors(
            r"
            polygons_within_cartesian | array(tuple(float64, float64)):[] | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
            polygons_distance_cartesian | uint8:1 ; uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
            ",
        );
    }
}
