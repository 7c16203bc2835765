//! Polygons and their text: areas, perimeters, hulls, WKT.
//!
//! In: a point (a tuple), a ring (an array of points), a polygon (an array of rings, the first outside) or a multipolygon (an array
//! of polygons). On the sphere points are longitudes and latitudes in degrees, and the sphere has radius 1.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, float64s, texts};
use crate::scalar::define::{Call, define};
use hydron_base::{Code, Error, Result};
use hydron_types::column::{ColumnBuilder, value_at};
use hydron_types::{LogicalType, Value};

pub(super) type Point = (f64, f64);
pub(super) type Ring = Vec<Point>;
pub(super) type Polygon = Vec<Ring>;

fn point() -> LogicalType {
    LogicalType::tuple([LogicalType::Float64, LogicalType::Float64])
}

/// How many arrays stand around the points of a type; `None` where there are no points.
pub(super) fn depth(ty: &LogicalType) -> Option<usize> {
    match ty {
        LogicalType::Array(element) => depth(element).map(|n| n + 1).filter(|n| *n <= 3),
        LogicalType::Tuple(xy) if xy.len() == 2 && xy.iter().all(|(_, t)| t.is_number()) => Some(0),
        _ => None,
    }
}

fn ring(value: &Value) -> Ring {
    let Value::Array(points) = value else { return Ring::new() };
    points.iter().map(xy).collect()
}

pub(super) fn xy(value: &Value) -> Point {
    let number = |v: &Value| {
        v.as_f64()
            .or_else(|| crate::scalar::number::wide_of_value(v).map(crate::scalar::number::float_of))
            .unwrap_or(0.0)
    };
    match value {
        Value::Tuple(xy) if xy.len() == 2 => (number(&xy[0]), number(&xy[1])),
        _ => (0.0, 0.0),
    }
}

/// A shape as polygons; rings and polygons are multipolygons of one.
pub(super) fn polygons(value: &Value, depth: usize) -> Vec<Polygon> {
    let items = |v: &Value| if let Value::Array(items) = v { items.clone() } else { Vec::new() };
    match depth {
        1 => vec![vec![ring(value)]],
        2 => vec![items(value).iter().map(ring).collect()],
        _ => items(value).iter().map(|p| items(p).iter().map(ring).collect()).collect(),
    }
}

pub(super) fn register(registry: &mut Registry) {
    let measures: [(&str, fn(&[Polygon]) -> f64); 4] = [
        ("polygon_area_cartesian", |shape| shape.iter().map(|p| area(p, flat_area)).sum()),
        ("polygon_area_spherical", |shape| shape.iter().map(|p| area(p, sphere_area)).sum()),
        ("polygon_perimeter_cartesian", |shape| edges(shape, |a, b| (a.0 - b.0).hypot(a.1 - b.1))),
        ("polygon_perimeter_spherical", |shape| edges(shape, arc)),
    ];
    for (name, measure) in measures {
        define(registry, name, move |call| {
            let depth = shape_of(call)?;
            let ty = call.ty(0).clone();
            call.returns(LogicalType::Float64, move |args, rows| {
                let column = args[0].to_array(rows)?;
                Ok(float64s(rows, |row| measure(&polygons(&value_at(&column, &ty, row), depth))))
            })
        });
    }
    define(registry, "polygon_convex_hull_cartesian", |call| {
        let depth = shape_of(call)?;
        let from = call.ty(0).clone();
        let ty = LogicalType::array(LogicalType::array(point()));
        call.returns(ty.clone(), move |args, rows| {
            let column = args[0].to_array(rows)?;
            let mut builder = ColumnBuilder::new(&ty);
            for row in 0..rows {
                let points = polygons(&value_at(&column, &from, row), depth).into_iter().flatten().flatten().collect();
                builder.append(&Value::Array(vec![ring_value(&hull(points))]))?;
            }
            builder.finish()
        })
    });
    define(registry, "wkt", |call| {
        call.arity(1..=1)?;
        let depth = depth(call.ty(0)).ok_or_else(|| call.illegal(0))?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let column = args[0].to_array(rows)?;
            texts(rows, |row, out| out.extend_from_slice(text_of(&value_at(&column, &ty, row), depth).as_bytes()))
        })
    });
    for (name, word, depth) in [
        ("read_wkt_point", "POINT", 0),
        ("read_wkt_ring", "POLYGON", 1),
        ("read_wkt_polygon", "POLYGON", 2),
        ("read_wkt_multi_polygon", "MULTIPOLYGON", 3),
    ] {
        define(registry, name, move |call| read(call, word, depth));
    }
}

fn shape_of(call: &Call<'_>) -> Result<usize> {
    call.arity(1..=1)?;
    depth(call.ty(0)).filter(|n| *n > 0).ok_or_else(|| call.illegal(0))
}

/// The area of the outer ring without the holes.
fn area(polygon: &[Ring], of: fn(&Ring) -> f64) -> f64 {
    polygon.iter().enumerate().map(|(i, ring)| if i == 0 { of(ring).abs() } else { -of(ring).abs() }).sum()
}

/// The edges of a ring, closed.
pub(super) fn sides(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(a, b)| (*a, *b))
}

pub(super) fn flat_area(ring: &Ring) -> f64 {
    sides(ring).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>() / 2.0
}

/// The excess of the triangles between each edge and the equator.
fn sphere_area(ring: &Ring) -> f64 {
    sides(ring)
        .map(|((x1, y1), (x2, y2))| {
            let (turn, low, high) = ((x2 - x1).to_radians(), y1.to_radians(), y2.to_radians());
            2.0 * ((turn / 2.0).tan() * ((low + high) / 2.0).sin()).atan2(((low - high) / 2.0).cos())
        })
        .sum()
}

fn edges(shape: &[Polygon], length: fn(Point, Point) -> f64) -> f64 {
    shape.iter().flatten().flat_map(|ring| sides(ring)).map(|(a, b)| length(a, b)).sum()
}

/// The length of a great circle between two places.
fn arc(a: Point, b: Point) -> f64 {
    let (y1, y2) = (a.1.to_radians(), b.1.to_radians());
    let half = |d: f64| (d.to_radians() / 2.0).sin().powi(2);
    2.0 * (half(b.1 - a.1) + y1.cos() * y2.cos() * half(b.0 - a.0)).sqrt().min(1.0).asin()
}

/// The convex hull, clockwise from the leftmost point and closed (Andrew's monotone chain).
fn hull(mut points: Vec<Point>) -> Ring {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let turn = |a: Point, b: Point, c: Point| (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
    let chain = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Ring = Vec::new();
        for p in points {
            while chain.len() > 1 && turn(chain[chain.len() - 2], chain[chain.len() - 1], p) >= 0.0 {
                chain.pop();
            }
            chain.push(p);
        }
        chain
    };
    let mut upper = chain(&mut points.iter().copied());
    let lower = chain(&mut points.iter().rev().copied());
    upper.extend_from_slice(&lower[1..]);
    upper
}

fn ring_value(ring: &[Point]) -> Value {
    Value::Array(ring.iter().map(|p| Value::Tuple(vec![Value::Float64(p.0), Value::Float64(p.1)])).collect())
}

/// A number with six digits and without zeros at its end, as a stream of C++ writes it.
pub(super) fn six_digits(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let scientific = format!("{value:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if (-4..6).contains(&exponent) {
        return trimmed(&format!("{value:.*}", (5 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

fn text_of(value: &Value, depth: usize) -> String {
    let of_point = |p: &Point| format!("{} {}", six_digits(p.0), six_digits(p.1));
    let of_ring = |ring: &Ring| format!("({})", ring.iter().map(of_point).collect::<Vec<_>>().join(","));
    // A ring is written closed.
    let closed = |ring: &Ring| {
        let mut ring = ring.clone();
        if let (Some(first), Some(last)) = (ring.first().copied(), ring.last())
            && first != *last
        {
            ring.push(first);
        }
        of_ring(&ring)
    };
    let of_polygon = |polygon: &Polygon| format!("({})", polygon.iter().map(closed).collect::<Vec<_>>().join(","));
    match depth {
        0 => format!("POINT({})", of_point(&xy(value))),
        1 | 2 => format!("POLYGON{}", polygons(value, depth).iter().map(of_polygon).collect::<String>()),
        _ => format!("MULTIPOLYGON({})", polygons(value, depth).iter().map(of_polygon).collect::<Vec<_>>().join(",")),
    }
}

fn read(call: &Call<'_>, word: &'static str, depth: usize) -> Result<BoundCall> {
    call.arity(1..=1)?;
    call.need(0, |t| *t == LogicalType::String)?;
    let ty = (0..depth).fold(point(), |ty, _| LogicalType::array(ty));
    call.returns(ty.clone(), move |args, rows| {
        let shapes = Texts::of(&args[0])?;
        let mut builder = ColumnBuilder::new(&ty);
        for row in 0..rows {
            let text = String::from_utf8_lossy(shapes.at(row));
            let wrong = || Error::new(Code::BAD_ARGUMENTS, format!("'{text}' is no {word} as WKT"));
            let rest = text.trim();
            let head = rest.get(..word.len()).filter(|h| h.eq_ignore_ascii_case(word)).ok_or_else(wrong)?;
            let mut rest = rest[head.len()..].trim_start();
            // A point stands in one pair of parentheses, a ring in those of its polygon.
            let nested = depth.max(1);
            let value = nest(&mut rest, if depth == 1 { 2 } else { nested }).filter(|_| rest.trim().is_empty());
            let value = value.ok_or_else(wrong)?;
            let first =
                |v: Value| if let Value::Array(mut v) = v { (!v.is_empty()).then(|| v.swap_remove(0)) } else { None };
            builder.append(&if depth < 2 { first(value).ok_or_else(wrong)? } else { value })?;
        }
        builder.finish()
    })
}

/// `( … , … )`, `depth` parentheses deep, around points.
fn nest(text: &mut &str, depth: usize) -> Option<Value> {
    *text = text.trim_start().strip_prefix('(')?;
    let mut items = Vec::new();
    loop {
        items.push(if depth > 1 { nest(text, depth - 1)? } else { coordinates(text)? });
        *text = text.trim_start();
        if let Some(rest) = text.strip_prefix(',') {
            *text = rest;
            continue;
        }
        *text = text.strip_prefix(')')?;
        return Some(Value::Array(items));
    }
}

fn coordinates(text: &mut &str) -> Option<Value> {
    let end = text.find([',', ')'])?;
    let mut numbers = text[..end].split_whitespace().map(|t| t.parse::<f64>().ok());
    let (x, y) = (numbers.next()??, numbers.next()??);
    if numbers.next().is_some() {
        return None;
    }
    *text = &text[end..];
    Some(Value::Tuple(vec![Value::Float64(x), Value::Float64(y)]))
}
