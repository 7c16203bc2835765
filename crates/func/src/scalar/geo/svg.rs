//! `svg(shape[, style])`: a shape as elements of a picture.
//!
//! In: a point, a ring, a polygon or a multipolygon. Out: a circle, a polygon, or a path for each polygon. Rings are written
//! closed, outer ones clockwise and holes against it, numbers with six digits.

use super::shapes::{Point, Polygon, Ring, depth, flat_area, polygons, six_digits, xy};
use crate::registry::Registry;
use crate::scalar::column::{Texts, texts};
use crate::scalar::define::define;
use hydron_types::LogicalType;
use hydron_types::column::value_at;

pub(super) fn register(registry: &mut Registry) {
    define(registry, "svg", |call| {
        call.arity(1..=2)?;
        let depth = depth(call.ty(0)).ok_or_else(|| call.illegal(0))?;
        if call.args.len() == 2 {
            call.need_string(1)?;
        }
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let shapes = args[0].to_array(rows)?;
            let styles = args.get(1).map(Texts::of).transpose()?;
            texts(rows, |row, out| {
                let style =
                    styles.as_ref().map_or_else(String::new, |s| String::from_utf8_lossy(s.at(row)).into_owned());
                let value = value_at(&shapes, &ty, row);
                let text = match depth {
                    0 => {
                        let (x, y) = xy(&value);
                        let (x, y) = (six_digits(x), six_digits(y));
                        format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" style=\"{style}\"/>")
                    }
                    1 => {
                        let ring = polygons(&value, 1).concat().concat();
                        let points: Vec<String> = turned(&ring, true).iter().map(pair).collect();
                        format!("<polygon points=\"{}\" style=\"{style}\"/>", points.join(" "))
                    }
                    _ => polygons(&value, depth).iter().map(|p| path(p, &style)).collect(),
                };
                out.extend_from_slice(text.as_bytes());
            })
        })
    });
    registry.fold_case("svg");
}

fn pair(point: &Point) -> String {
    format!("{},{}", six_digits(point.0), six_digits(point.1))
}

fn path(polygon: &Polygon, style: &str) -> String {
    let ring = |(i, ring): (usize, &Ring)| {
        let points: Vec<String> = turned(ring, i == 0).iter().map(pair).collect();
        format!("M {}", points.join(" L "))
    };
    let rings: String = polygon.iter().enumerate().map(ring).collect();
    format!("<g fill-rule=\"evenodd\"><path d=\"{rings} z \" style=\"{style}\"/></g>")
}

/// The ring closed, and going round as wanted.
fn turned(ring: &[Point], clockwise: bool) -> Ring {
    let mut ring = ring.to_vec();
    if let (Some(first), Some(last)) = (ring.first().copied(), ring.last().copied())
        && first != last
    {
        ring.push(first);
    }
    let area = flat_area(&ring);
    if area != 0.0 && (area < 0.0) != clockwise {
        ring.reverse();
    }
    ring
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::check;

    #[test]
    fn pictures_are_those_of_the_documentation() {
        check(
            r#"
            svg | tuple(float64, float64):(0,0) | string:<circle cx="0" cy="0" r="5" style=""/>
            svg | array(tuple(float64, float64)):[(0,0),(10,0),(10,10),(0,10)] | string:<polygon points="0,0 0,10 10,10 10,0 0,0" style=""/>
            svg | array(array(tuple(float64, float64))):[[(0,0),(10,0),(10,10),(0,10)],[(4,4),(5,4),(5,5),(4,5)]] | string:<g fill-rule="evenodd"><path d="M 0,0 L 0,10 L 10,10 L 10,0 L 0,0M 4,4 L 5,4 L 5,5 L 4,5 L 4,4 z " style=""/></g>
            svg | tuple(float64, float64):(1,2.5) ; string:fill:red | string:<circle cx="1" cy="2.5" r="5" style="fill:red"/>
            "#,
        );
    }
}
