//! Geometry: points and polygons, geohashes, cells of H3 and S2.

mod h3;
mod relations;
mod s2;
mod shapes;
mod svg;
mod valid;

use super::column::{Floats, Ints, Texts, bools, float64s, text_lists, texts, tuple};
use super::define::{Call, define};
use super::number::to_vec;
use crate::call::{BoundCall, downcast};
use crate::registry::Registry;
use arrow::array::StructArray;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

pub fn register(registry: &mut Registry) {
    h3::register(registry);
    s2::register(registry);
    shapes::register(registry);
    relations::register(registry);
    svg::register(registry);
    define(registry, "point_in_polygon", point_in_polygon);
    define(registry, "point_in_ellipses", |call| {
        call.arity(6..=usize::MAX)?;
        if call.args.len() % 4 != 2 {
            return Err(Error::new(
                Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
                "point_in_ellipses takes x, y and four numbers for each ellipse",
            ));
        }
        (0..call.args.len()).try_for_each(|i| call.need_number(i))?;
        let types = call.types();
        call.returns(LogicalType::UInt8, move |args, rows| {
            let n = args.iter().zip(&types).map(|(a, t)| Floats::of(a, t)).collect::<Result<Vec<_>>>()?;
            Ok(super::column::flags(rows, |i| {
                let (x, y) = (n[0].at(i), n[1].at(i));
                n[2..]
                    .chunks(4)
                    .any(|e| ((x - e[0].at(i)) / e[2].at(i)).powi(2) + ((y - e[1].at(i)) / e[3].at(i)).powi(2) <= 1.0)
            }))
        })
    });
    define(registry, "geohash_encode", |call| {
        call.arity(2..=3)?;
        (0..2).try_for_each(|i| call.need_number(i))?;
        let precision = if call.args.len() == 3 { call.constant_int(2)? } else { 12 };
        let precision = if (1..=12).contains(&precision) { precision as usize } else { 12 };
        let types = call.types();
        call.returns(LogicalType::String, move |args, rows| {
            let (lon, lat) = (Floats::of(&args[0], &types[0])?, Floats::of(&args[1], &types[1])?);
            texts(rows, |row, out| {
                geohash(lon.at(row), lat.at(row), precision, out);
            })
        })
    });
    define(registry, "geohashes_in_box", geohashes_in_box);
    define(registry, "geohash_decode", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        let named = |name: &str| (Some(name.into()), LogicalType::Float64);
        let pair = LogicalType::Tuple([named("longitude"), named("latitude")].into());
        call.returns(pair.clone(), move |args, rows| {
            let text = Texts::of(&args[0])?;
            let centers: Vec<(f64, f64)> = (0..rows).map(|i| geohash_center(text.at(i))).collect();
            tuple(&pair, vec![float64s(rows, |i| centers[i].0), float64s(rows, |i| centers[i].1)], rows)
        })
    });
}

type Ring = Vec<(f64, f64)>;

/// The points of a constant array of pairs.
fn ring(value: &Value) -> Option<Ring> {
    let Value::Array(points) = value else { return None };
    let point = |p: &Value| match p {
        Value::Tuple(xy) if xy.len() == 2 => Some((number(&xy[0])?, number(&xy[1])?)),
        _ => None,
    };
    points.iter().map(point).collect()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| super::number::wide_of_value(value).map(super::number::float_of))
}

/// Rings of one argument: an outer ring, or an outer ring with its holes.
fn rings(call: &Call<'_>, position: usize) -> Result<Vec<Ring>> {
    let value = call.constant(position)?;
    if let Some(one) = ring(value) {
        return Ok(vec![one]);
    }
    match value {
        Value::Array(many) => many.iter().map(ring).collect::<Option<_>>().ok_or_else(|| call.illegal(position)),
        _ => Err(call.illegal(position)),
    }
}

/// `point_in_polygon((x, y), [(x, y), …], [hole], …)`. The edge belongs to the polygon.
fn point_in_polygon(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=usize::MAX)?;
    let LogicalType::Tuple(point) = call.ty(0) else {
        return Err(call.illegal(0));
    };
    if point.len() != 2 || !point.iter().all(|(_, t)| t.is_number()) {
        return Err(call.illegal(0));
    }
    let mut all: Vec<Ring> = Vec::new();
    for i in 1..call.args.len() {
        all.extend(rings(call, i)?);
    }
    for ring in &all {
        if ring.len() < 3 {
            return Err(Error::bad_arguments(format!("a polygon has at least 3 points, given {}", ring.len())));
        }
        if ring.iter().any(|(x, y)| !x.is_finite() || !y.is_finite() || x.abs() > 1e18 || y.abs() > 1e18) {
            return Err(Error::bad_arguments("a point of the polygon is too far out"));
        }
        if call.cx.settings.bool("validate_polygons") && valid::crosses_itself(ring) {
            return Err(Error::bad_arguments("the polygon crosses or touches itself").hint("validate_polygons = 0"));
        }
    }
    if let Some((outer, holes)) = all.split_first()
        && call.cx.settings.bool("validate_polygons")
    {
        for hole in holes {
            // Every corner where that costs little, else the first ones.
            let corners = hole.len().min(valid::PAIRS_MAX / outer.len());
            if hole[..corners].iter().any(|corner| place(outer, *corner) == Place::Outside) {
                return Err(
                    Error::bad_arguments("a hole of the polygon is not within it").hint("validate_polygons = 0")
                );
            }
        }
    }
    let types = [point[0].1.clone(), point[1].1.clone()];
    call.returns(LogicalType::Bool, move |args, rows| {
        let point: &StructArray = downcast(args[0].array()?)?;
        let (x, y) = (to_vec::<f64>(point.column(0), &types[0])?, to_vec::<f64>(point.column(1), &types[1])?);
        let one = args[0].is_scalar();
        Ok(bools(rows, |i| {
            let at = (x[if one { 0 } else { i }], y[if one { 0 } else { i }]);
            let mut places = all.iter().map(|r| place(r, at));
            let outer = places.next().unwrap_or(Place::Outside);
            outer != Place::Outside && places.all(|p| p != Place::Inside)
        }))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Edge,
    Inside,
}

/// Counts how often a ray to the right crosses the ring.
fn place(ring: &[(f64, f64)], (x, y): (f64, f64)) -> Place {
    let mut inside = false;
    let mut last = ring[ring.len() - 1];
    for &point in ring {
        let ((x1, y1), (x2, y2)) = (last, point);
        let cross = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1);
        let within = x >= x1.min(x2) && x <= x1.max(x2) && y >= y1.min(y2) && y <= y1.max(y2);
        if cross == 0.0 && within {
            return Place::Edge;
        }
        if (y1 > y) != (y2 > y) && x < (x2 - x1) * (y - y1) / (y2 - y1) + x1 {
            inside = !inside;
        }
        last = point;
    }
    if inside { Place::Inside } else { Place::Outside }
}

/// Cells that one box may have.
const BOX_CELLS_MAX: f64 = 10_000_000.0;

/// `geohashes_in_box(lon_min, lat_min, lon_max, lat_max, precision)`: the cells that a box touches, from the south-west to the
/// north, column by column.
///
/// Errors: TOO_LARGE_ARRAY_SIZE (128) past 10,000,000 cells.
fn geohashes_in_box(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(5..=5)?;
    let float = call.ty(0).clone();
    (0..4).try_for_each(|i| call.need(i, |t| t.is_float() && *t == float))?;
    call.need(4, |t| *t == LogicalType::UInt8)?;
    let types = call.types();
    call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
        let corners = (0..4).map(|i| Floats::of(&args[i], &types[i])).collect::<Result<Vec<_>>>()?;
        let precisions = Ints::of(&args[4], &types[4])?;
        text_lists(rows, |row, out| {
            let [west, south, east, north] = std::array::from_fn(|i| corners[i].at(row));
            // NaN is no corner either.
            if !(west <= east && south <= north) {
                return Ok(());
            }
            let precision = precisions.at(row);
            let precision = if (1..=12).contains(&precision) { precision as usize } else { 12 };
            let bits = precision as i32 * 5;
            let (x_step, y_step) = (360.0 / 2f64.powi((bits + 1) / 2), 180.0 / 2f64.powi(bits / 2));
            let range = |low: f64, high: f64, most: f64, step: f64| {
                let first = (low.clamp(-most, most) / step).floor();
                (first * step, ((high.clamp(-most, most) / step).ceil() - first).max(1.0))
            };
            let (x, columns) = range(west, east, 180.0, x_step);
            let (y, lines) = range(south, north, 90.0, y_step);
            if columns * lines > BOX_CELLS_MAX {
                let text = format!("the box has {} cells, at most {BOX_CELLS_MAX}", columns * lines);
                return Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, text));
            }
            let mut cell = Vec::with_capacity(12);
            for column in 0..columns as usize {
                for line in 0..lines as usize {
                    cell.clear();
                    geohash(x + x_step * column as f64, y + y_step * line as f64, precision, &mut cell);
                    out.push(&cell);
                }
            }
            Ok(())
        })
    })
}

const GEOHASH: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

fn geohash(lon: f64, lat: f64, precision: usize, out: &mut Vec<u8>) {
    let (mut x, mut y) = ((-180.0, 180.0), (-90.0, 90.0));
    for n in 0..precision {
        let mut digit = 0;
        for bit in 0..5 {
            // Longitude and latitude take turns, bit by bit.
            let (range, v) = if (n * 5 + bit) % 2 == 0 { (&mut x, lon) } else { (&mut y, lat) };
            let middle = (range.0 + range.1) / 2.0;
            let high = v >= middle;
            if high {
                range.0 = middle
            } else {
                range.1 = middle
            }
            digit = digit << 1 | usize::from(high);
        }
        out.push(GEOHASH[digit]);
    }
}

/// Longitude and latitude of the middle of the cell.
fn geohash_center(text: &[u8]) -> (f64, f64) {
    let (mut x, mut y): ((f64, f64), (f64, f64)) = ((-180.0, 180.0), (-90.0, 90.0));
    let digits = text.iter().take(12).map_while(|c| GEOHASH.iter().position(|d| *d == c.to_ascii_lowercase()));
    let mut turn = 0;
    for digit in digits {
        for bit in (0..5).rev() {
            let range = if turn % 2 == 0 { &mut x } else { &mut y };
            let middle = (range.0 + range.1) / 2.0;
            if digit >> bit & 1 == 1 {
                range.0 = middle
            } else {
                range.1 = middle
            }
            turn += 1;
        }
    }
    if turn == 0 { (0.0, 0.0) } else { ((x.0 + x.1) / 2.0, (y.0 + y.1) / 2.0) }
}
