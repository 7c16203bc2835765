//! Functions on the cells of S2: points on the sphere as numbers, neighbours, caps and rectangles.
//!
//! In: longitudes and latitudes in degrees, cells. Out: cells, points, answers of 0 and 1. Errors: BAD_ARGUMENTS (36) for a
//! number that names no cell and for an angle that is not finite.

mod cell;
mod region;

use crate::call::{BoundCall, Datum};
use crate::registry::Registry;
use crate::scalar::column::{Floats, Ints, flags, float64s, number_lists, tuple, uint64s};
use crate::scalar::define::{Call, define};
use arrow::datatypes::UInt64Type;
use cell::Cell;
use hydron_base::{Error, Result};
use hydron_types::LogicalType::{self, Float64, UInt64};
use region::{Cap, Rect};

pub(super) fn register(registry: &mut Registry) {
    define(registry, "geo_to_s2", |call| {
        need(call, &[Float64, Float64])?;
        call.returns(UInt64, |args, rows| {
            let (lon, lat) = (Floats::of(&args[0], &Float64)?, Floats::of(&args[1], &Float64)?);
            let cells = (0..rows).map(|row| {
                let (lon, lat) = (finite(lon.at(row))?, finite(lat.at(row))?);
                Ok(Cell::at(cell::point(lon.to_radians(), lat.to_radians())).0)
            });
            let cells = cells.collect::<Result<Vec<u64>>>()?;
            Ok(uint64s(rows, |i| cells[i]))
        })
    });
    define(registry, "s2_to_geo", |call| {
        need(call, &[UInt64])?;
        let ty = LogicalType::tuple([Float64, Float64]);
        call.returns(ty.clone(), move |args, rows| {
            let cells = Cells::of(&args[0])?;
            let places = (0..rows).map(|row| Ok(cells.at(row)?.place())).collect::<Result<Vec<(f64, f64)>>>()?;
            let column = |pick: fn(&(f64, f64)) -> f64| float64s(rows, |i| pick(&places[i]).to_degrees());
            tuple(&ty, vec![column(|p| p.0), column(|p| p.1)], rows)
        })
    });
    define(registry, "s2_get_neighbors", |call| {
        need(call, &[UInt64])?;
        call.returns(LogicalType::array(UInt64), |args, rows| {
            let cells = Cells::of(&args[0])?;
            number_lists::<UInt64Type>(&UInt64, rows, |row, out| {
                out.extend(cells.at(row)?.neighbours().map(|c| c.0));
                Ok(())
            })
        })
    });
    define(registry, "s2_cells_intersect", |call| {
        test(call, &[UInt64, UInt64], |row| Ok(row.cell(0)?.meets(row.cell(1)?)))
    });
    define(registry, "s2_cap_contains", |call| {
        test(call, &[UInt64, Float64, UInt64], |row| {
            let cap = Cap { center: row.cell(0)?.center(), radius: finite(row.float(1))?.to_radians() };
            Ok(cap.contains(row.cell(2)?.center()))
        })
    });
    define(registry, "s2_cap_union", |call| {
        need(call, &[UInt64, Float64, UInt64, Float64])?;
        let ty = LogicalType::tuple([UInt64, Float64]);
        call.returns(ty.clone(), move |args, rows| {
            let all = Row::columns(args, &[UInt64, Float64, UInt64, Float64])?;
            let caps = (0..rows).map(|at| {
                let row = Row { columns: &all, at };
                let cap = |i: usize| -> Result<Cap> {
                    Ok(Cap { center: row.cell(i)?.center(), radius: finite(row.float(i + 1))?.to_radians() })
                };
                Ok(cap(0)?.union(&cap(2)?))
            });
            let caps = caps.collect::<Result<Vec<Cap>>>()?;
            let centers = uint64s(rows, |i| Cell::at(caps[i].center).0);
            tuple(&ty, vec![centers, float64s(rows, |i| caps[i].radius.to_degrees())], rows)
        })
    });
    define(registry, "s2_rect_contains", |call| {
        test(call, &[UInt64, UInt64, UInt64], |row| Ok(row.rect(0)?.contains(row.cell(2)?.place())))
    });
    define(registry, "s2_rect_add", |call| rects(call, 3, |row| Ok(row.rect(0)?.with(row.cell(2)?.place()))));
    define(registry, "s2_rect_union", |call| rects(call, 4, |row| Ok(row.rect(0)?.union(&row.rect(2)?))));
    define(registry, "s2_rect_intersection", |call| rects(call, 4, |row| Ok(row.rect(0)?.common(&row.rect(2)?))));
}

/// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), ILLEGAL_TYPE_OF_ARGUMENT (43) unless the types are these.
fn need(call: &Call<'_>, types: &[LogicalType]) -> Result<()> {
    call.arity(types.len()..=types.len())?;
    (0..types.len()).try_for_each(|i| call.need(i, |t| *t == types[i]))
}

fn finite(value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::bad_arguments(format!("{value} is no place on the sphere"))) }
}

struct Cells(Ints);

impl Cells {
    fn of(datum: &Datum) -> Result<Cells> {
        Ok(Cells(Ints::of(datum, &UInt64)?))
    }

    fn at(&self, row: usize) -> Result<Cell> {
        let cell = Cell(self.0.at(row) as u64);
        if cell.is_valid() { Ok(cell) } else { Err(Error::bad_arguments(format!("{} is no cell of S2", cell.0))) }
    }
}

enum Column {
    Cells(Cells),
    Floats(Floats),
}

/// The arguments of one row.
struct Row<'a> {
    columns: &'a [Column],
    at: usize,
}

impl Row<'_> {
    fn columns(args: &[Datum], types: &[LogicalType]) -> Result<Vec<Column>> {
        let column = |(arg, ty): (&Datum, &LogicalType)| match ty {
            Float64 => Ok(Column::Floats(Floats::of(arg, ty)?)),
            _ => Ok(Column::Cells(Cells::of(arg)?)),
        };
        args.iter().zip(types).map(column).collect()
    }

    fn cell(&self, i: usize) -> Result<Cell> {
        match &self.columns[i] {
            Column::Cells(cells) => cells.at(self.at),
            Column::Floats(_) => Err(Error::bug("an angle was read as a cell")),
        }
    }

    fn float(&self, i: usize) -> f64 {
        match &self.columns[i] {
            Column::Floats(floats) => floats.at(self.at),
            Column::Cells(_) => f64::NAN,
        }
    }

    fn rect(&self, i: usize) -> Result<Rect> {
        Ok(Rect::between(self.cell(i)?.place(), self.cell(i + 1)?.place()))
    }
}

fn test(call: &Call<'_>, types: &'static [LogicalType], holds: fn(&Row<'_>) -> Result<bool>) -> Result<BoundCall> {
    need(call, types)?;
    call.returns(LogicalType::UInt8, move |args, rows| {
        let columns = Row::columns(args, types)?;
        let held = (0..rows).map(|at| holds(&Row { columns: &columns, at })).collect::<Result<Vec<bool>>>()?;
        Ok(flags(rows, |i| held[i]))
    })
}

/// A function of cells whose answer is a rectangle: the cells of its lower and its higher corner.
fn rects(call: &Call<'_>, cells: usize, make: fn(&Row<'_>) -> Result<Rect>) -> Result<BoundCall> {
    let types = vec![UInt64; cells];
    need(call, &types)?;
    let ty = LogicalType::tuple([UInt64, UInt64]);
    call.returns(ty.clone(), move |args, rows| {
        let columns = Row::columns(args, &types)?;
        let rects = (0..rows).map(|at| make(&Row { columns: &columns, at })).collect::<Result<Vec<Rect>>>()?;
        let corner = |pick: fn(&Rect) -> (f64, f64)| {
            uint64s(rows, |i| {
                let (lon, lat) = pick(&rects[i]);
                Cell::at(cell::point(lon, lat)).0
            })
        };
        tuple(&ty, vec![corner(Rect::low), corner(Rect::high)], rows)
    })
}

#[cfg(test)]
mod tests {
    use crate::scalar::testing::{check, check_errors};

    #[test]
    fn cells_are_those_of_the_documentation() {
        check(
            r"
            geo_to_s2 | float64:37.79506683 ; float64:55.71290588 | uint64:4704772434919038107
            s2_to_geo | uint64:4704772434919038107 | tuple(float64, float64):(37.79506681471008,55.7129059052841)
            s2_get_neighbors | uint64:5074766849661468672 | array(uint64):[5074766987100422144,5074766712222515200,5074767536856236032,5074767261978329088]
            s2_cells_intersect | uint64:9926595209846587392 ; uint64:9926594385212866560 | uint8:1
            s2_cells_intersect | uint64:9926595209846587392 ; uint64:9937259648002293760 | uint8:0
            s2_cap_contains | uint64:1157339245694594829 ; float64:1 ; uint64:1157347770437378819 | uint8:1
            s2_rect_contains | uint64:5179062030687166815 ; uint64:5177056748191934217 ; uint64:5177914411069187297 | uint8:0
            s2_rect_add | uint64:5178914411069187297 ; uint64:5177056748191934217 ; uint64:5179056748191934217 | tuple(uint64, uint64):(5179062030687166815,5177056748191934217)
            s2_rect_union | uint64:5178914411069187297 ; uint64:5177056748191934217 ; uint64:5179062030687166815 ; uint64:5177056748191934217 | tuple(uint64, uint64):(5179062030687166815,5177056748191934217)
            s2_rect_intersection | uint64:5178914411069187297 ; uint64:5177056748191934217 ; uint64:5179062030687166815 ; uint64:5177056748191934217 | tuple(uint64, uint64):(5178914411069187297,5177056748191934217)
            ",
        );
        check_errors(
            r"
            geo_to_s2 | float64:1 | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
            geo_to_s2 | float64:1 ; uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
            s2_to_geo | uint64:0 | BAD_ARGUMENTS
            geo_to_s2 | float64:nan ; float64:1 | BAD_ARGUMENTS
            ",
        );
    }
}
