//! H3: the hexagonal grid over the globe, by the crate `h3o`.
//!
//! In: cells and directed edges as `uint64`, resolutions from 0 to 15, places in degrees. Errors: ARGUMENT_OUT_OF_BOUND (69) for a
//! resolution or a place that is none, INCORRECT_DATA (117) for a number that is no cell or edge, TOO_LARGE_ARRAY_SIZE (128) for
//! more cells than one row may have.

use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{
    Floats, Ints, Texts, flags, float64s, int64s, list, number_lists, numbers, texts, tuple, uint64s,
};
use crate::scalar::define::{Call, define};
use arrow::array::ArrayRef;
use arrow::datatypes::{UInt8Type, UInt64Type};
use h3o::{CellIndex, DirectedEdgeIndex, LatLng, Resolution};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// Cells that one row may answer with.
const CELLS_MAX: u64 = 10_000_000;

fn resolution(n: i64) -> Result<Resolution> {
    let wrong = || Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("a resolution of H3 is within 0 and 15, given {n}"));
    u8::try_from(n).ok().and_then(|n| Resolution::try_from(n).ok()).ok_or_else(wrong)
}

/// The resolution that a number would have as a cell, whether it is one or not.
fn resolution_bits(n: i64) -> u8 {
    (n as u64 >> 52 & 0xF) as u8
}

fn cell(n: i64) -> Result<CellIndex> {
    CellIndex::try_from(n as u64)
        .map_err(|_| Error::new(Code::INCORRECT_DATA, format!("{} is no cell of H3", n as u64)))
}

fn edge(n: i64) -> Result<DirectedEdgeIndex> {
    let wrong = |_| Error::new(Code::INCORRECT_DATA, format!("{} is no edge of H3", n as u64));
    DirectedEdgeIndex::try_from(n as u64).map_err(wrong)
}

fn place(lat: f64, lon: f64) -> Result<LatLng> {
    LatLng::new(lat, lon).map_err(|_| Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("({lat}, {lon}) is no place")))
}

/// A call whose arguments are all whole numbers, row by row.
fn of_ints<T, F>(
    call: &Call<'_>,
    count: usize,
    ty: LogicalType,
    f: F,
    finish: fn(Vec<T>) -> Result<ArrayRef>,
) -> Result<BoundCall>
where
    T: 'static,
    F: Fn(&[i64]) -> Result<T> + Send + Sync + 'static,
{
    call.arity(count..=count)?;
    (0..count).try_for_each(|i| call.need(i, LogicalType::is_unsigned_integer))?;
    let types = call.types();
    call.returns(ty, move |args, rows| {
        let columns = args.iter().zip(&types).map(|(a, t)| Ints::of(a, t)).collect::<Result<Vec<_>>>()?;
        let values = (0..rows).map(|row| f(&columns.iter().map(|c| c.at(row)).collect::<Vec<_>>()));
        finish(values.collect::<Result<_>>()?)
    })
}

fn words(values: Vec<u64>) -> Result<ArrayRef> {
    Ok(uint64s(values.len(), |i| values[i]))
}

fn signed(values: Vec<i64>) -> Result<ArrayRef> {
    Ok(int64s(values.len(), |i| values[i]))
}

fn floats(values: Vec<f64>) -> Result<ArrayRef> {
    Ok(float64s(values.len(), |i| values[i]))
}

fn bytes(values: Vec<u8>) -> Result<ArrayRef> {
    Ok(numbers::<UInt8Type>(values.len(), |i| values[i]))
}

fn truths(values: Vec<bool>) -> Result<ArrayRef> {
    Ok(flags(values.len(), |i| values[i]))
}

fn word_lists(values: Vec<Vec<u64>>) -> Result<ArrayRef> {
    number_lists::<UInt64Type>(&LogicalType::UInt64, values.len(), |i, out| {
        out.extend_from_slice(&values[i]);
        Ok(())
    })
}

fn byte_lists(values: Vec<Vec<u8>>) -> Result<ArrayRef> {
    number_lists::<UInt8Type>(&LogicalType::UInt8, values.len(), |i, out| {
        out.extend_from_slice(&values[i]);
        Ok(())
    })
}

fn pair() -> LogicalType {
    LogicalType::tuple([LogicalType::Float64, LogicalType::Float64])
}

fn pairs(values: &[(f64, f64)]) -> Result<ArrayRef> {
    let n = values.len();
    tuple(&pair(), vec![float64s(n, |i| values[i].0), float64s(n, |i| values[i].1)], n)
}

fn places(values: Vec<Vec<(f64, f64)>>) -> Result<ArrayRef> {
    let mut ends = vec![0];
    let mut total = 0;
    for row in &values {
        total += row.len();
        ends.push(crate::scalar::column::end_offset(total)?);
    }
    Ok(list(&pair(), ends, pairs(&values.concat())?))
}

fn too_many(count: u64) -> Result<()> {
    if count <= CELLS_MAX {
        return Ok(());
    }
    Err(Error::new(Code::TOO_LARGE_ARRAY_SIZE, format!("{count} cells of H3 in one row, at most {CELLS_MAX}")))
}

/// Cells within `k` steps, `k` checked against the limit.
fn steps(k: i64) -> Result<u32> {
    let k = u32::try_from(k).map_err(|_| Error::new(Code::ARGUMENT_OUT_OF_BOUND, format!("{k} steps are too many")))?;
    too_many(3 * u64::from(k) * (u64::from(k) + 1) + 1)?;
    Ok(k)
}

pub(super) fn register(registry: &mut Registry) {
    use LogicalType as T;
    register_places(registry);
    register_sizes(registry);
    register_edges(registry);
    let cells = || T::array(T::UInt64);
    define(registry, "h3_is_valid", |c| of_ints(c, 1, T::UInt8, |v| Ok(cell(v[0]).is_ok()), truths));
    define(registry, "h3_get_resolution", |c| of_ints(c, 1, T::UInt8, |v| Ok(resolution_bits(v[0])), bytes));
    define(registry, "h3_get_base_cell", |c| of_ints(c, 1, T::UInt8, |v| Ok((v[0] as u64 >> 45 & 0x7F) as u8), bytes));
    define(registry, "h3_is_pentagon", |c| of_ints(c, 1, T::UInt8, |v| Ok(cell(v[0])?.is_pentagon()), truths));
    define(registry, "h3_is_res_class_iii", |c| {
        of_ints(c, 1, T::UInt8, |v| Ok(resolution_bits(v[0]) % 2 == 1), truths)
    });
    define(registry, "h3_get_faces", |c| {
        let faces = |v: &[i64]| Ok(cell(v[0])?.icosahedron_faces().iter().map(u8::from).collect());
        of_ints(c, 1, T::array(T::UInt8), faces, byte_lists)
    });
    define(registry, "h3_indexes_are_neighbors", |c| {
        of_ints(c, 2, T::UInt8, |v| Ok(cell(v[0])?.is_neighbor_with(cell(v[1])?).unwrap_or(false)), truths)
    });
    define(registry, "h3_to_children", move |c| {
        let children = |v: &[i64]| {
            let (cell, to) = (cell(v[0])?, resolution(v[1])?);
            too_many(cell.children_count(to))?;
            Ok(cell.children(to).map(u64::from).collect())
        };
        of_ints(c, 2, cells(), children, word_lists)
    });
    define(registry, "h3_to_parent", |c| {
        of_ints(c, 2, T::UInt64, |v| Ok(cell(v[0])?.parent(resolution(v[1])?).map_or(0, u64::from)), words)
    });
    define(registry, "h3_to_center_child", |c| {
        of_ints(c, 2, T::UInt64, |v| Ok(cell(v[0])?.center_child(resolution(v[1])?).map_or(0, u64::from)), words)
    });
    define(registry, "h3k_ring", move |c| {
        let disk = |v: &[i64]| Ok(cell(v[0])?.grid_disk::<Vec<_>>(steps(v[1])?).into_iter().map(u64::from).collect());
        of_ints(c, 2, cells(), disk, word_lists)
    });
    define(registry, "h3_hex_ring", move |c| {
        let ring = |v: &[i64]| Ok(cell(v[0])?.grid_ring::<Vec<_>>(steps(v[1])?).into_iter().map(u64::from).collect());
        of_ints(c, 2, cells(), ring, word_lists)
    });
    define(registry, "h3_line", move |c| {
        let line = |v: &[i64]| {
            let (from, to) = (cell(v[0])?, cell(v[1])?);
            let far = |_| Error::new(Code::INCORRECT_DATA, "there is no line between the two cells of H3");
            too_many(from.grid_path_cells_size(to).map_err(far)?.max(0) as u64)?;
            let path = from.grid_path_cells(to).map_err(far)?;
            path.map(|c| c.map(u64::from).map_err(far)).collect()
        };
        of_ints(c, 2, cells(), line, word_lists)
    });
    define(registry, "h3_distance", |c| {
        of_ints(c, 2, T::Int64, |v| Ok(cell(v[0])?.grid_distance(cell(v[1])?).map_or(-1, i64::from)), signed)
    });
    define(registry, "h3_num_hexagons", |c| {
        of_ints(c, 1, T::Int64, |v| Ok(resolution(v[0])?.cell_count() as i64), signed)
    });
    define(registry, "h3_get_res0_indexes", move |c| {
        of_ints(c, 0, cells(), |_| Ok(CellIndex::base_cells().map(u64::from).collect()), word_lists)
    });
    define(registry, "h3_get_pentagon_indexes", move |c| {
        of_ints(c, 1, cells(), |v| Ok(resolution(v[0])?.pentagons().map(u64::from).collect()), word_lists)
    });
    define(registry, "h3_to_string", |c| {
        c.arity(1..=1)?;
        c.need(0, T::is_unsigned_integer)?;
        let ty = c.ty(0).clone();
        c.returns(T::String, move |args, rows| {
            let cells = Ints::of(&args[0], &ty)?;
            texts(rows, |row, out| out.extend_from_slice(format!("{:x}", cells.at(row) as u64).as_bytes()))
        })
    });
    define(registry, "string_to_h3", |c| {
        c.arity(1..=1)?;
        c.need_string(0)?;
        c.returns(T::UInt64, |args, rows| {
            let names = Texts::of(&args[0])?;
            Ok(uint64s(rows, |row| {
                std::str::from_utf8(names.at(row)).ok().and_then(|t| u64::from_str_radix(t, 16).ok()).unwrap_or(0)
            }))
        })
    });
}

fn register_places(registry: &mut Registry) {
    use LogicalType as T;
    define(registry, "geo_to_h3", |call| {
        call.arity(3..=3)?;
        (0..2).try_for_each(|i| call.need(i, T::is_float))?;
        call.need(2, T::is_unsigned_integer)?;
        let types = call.types();
        call.returns(T::UInt64, move |args, rows| {
            let (lon, lat) = (Floats::of(&args[0], &types[0])?, Floats::of(&args[1], &types[1])?);
            let resolutions = Ints::of(&args[2], &types[2])?;
            let cells = (0..rows).map(|row| {
                let resolution = resolution(resolutions.at(row))?;
                Ok(u64::from(place(lat.at(row), lon.at(row))?.to_cell(resolution)))
            });
            words(cells.collect::<Result<_>>()?)
        })
    });
    define(registry, "h3_to_geo", |call| {
        let center = |v: &[i64]| {
            let center = LatLng::from(cell(v[0])?);
            Ok((center.lng(), center.lat()))
        };
        of_ints(call, 1, pair(), center, |values| pairs(&values))
    });
    define(registry, "h3_to_geo_boundary", |call| {
        let boundary = |v: &[i64]| Ok(cell(v[0])?.boundary().iter().map(|p| (p.lat(), p.lng())).collect());
        of_ints(call, 1, T::array(pair()), boundary, places)
    });
    let distances: [(&str, fn(LatLng, LatLng) -> f64); 3] = [
        ("h3_point_dist_m", |a, b| a.distance_m(b)),
        ("h3_point_dist_km", |a, b| a.distance_km(b)),
        ("h3_point_dist_rads", |a, b| a.distance_rads(b)),
    ];
    for (name, distance) in distances {
        define(registry, name, move |call| {
            call.arity(4..=4)?;
            (0..4).try_for_each(|i| call.need(i, T::is_float))?;
            let types = call.types();
            call.returns(T::Float64, move |args, rows| {
                let n = args.iter().zip(&types).map(|(a, t)| Floats::of(a, t)).collect::<Result<Vec<_>>>()?;
                let far = (0..rows)
                    .map(|row| Ok(distance(place(n[0].at(row), n[1].at(row))?, place(n[2].at(row), n[3].at(row))?)));
                floats(far.collect::<Result<_>>()?)
            })
        });
    }
}

/// Averages of each resolution, as version 3 of H3 publishes them; later versions correct them.
const EDGE_METRES: [f64; 16] = [
    1_107_712.591,
    418_676.005_5,
    158_244.655_8,
    59_810.857_94,
    22_606.379_4,
    8_544.408276,
    3_229.482772,
    1_220.629759,
    461.354684,
    174.375668,
    65.90780749,
    24.9105614,
    9.415526211,
    3.559893033,
    1.348574562,
    0.509713273,
];
const EDGE_KILOMETRES: [f64; 16] = [
    1_107.712591,
    418.6760055,
    158.2446558,
    59.81085794,
    22.6063794,
    8.544408276,
    3.229482772,
    1.220629759,
    0.461354684,
    0.174375668,
    0.065907807,
    0.024910561,
    0.009415526,
    0.003559893,
    0.001348575,
    0.000509713,
];
const AREA_SQUARE_METRES: [f64; 16] = [
    4.250546848e12,
    6.07220978e11,
    8.6745854035e10,
    12_392_264_862.0,
    1_770_323_552.0,
    252_903_364.5,
    36_129_052.1,
    5_161_293.2,
    737_327.6,
    105_332.5,
    15_047.5,
    2_149.6,
    307.1,
    43.9,
    6.3,
    0.9,
];
const AREA_SQUARE_KILOMETRES: [f64; 16] = [
    4_250_546.847_7,
    607_220.9782429,
    86_745.8540347,
    12_392.2648621,
    1_770.3235517,
    252.9033645,
    36.1290521,
    5.1612932,
    0.7373276,
    0.1053325,
    0.0150475,
    0.0021496,
    0.0003071,
    0.0000439,
    0.0000063,
    0.0000009,
];

fn average(table: &[f64; 16], resolution: Resolution) -> f64 {
    table[usize::from(u8::from(resolution)) % 16]
}

fn register_sizes(registry: &mut Registry) {
    // Degrees of a great circle for a metre of it.
    const DEGREES_OF_METRE: f64 = 8.993_205_922_712_88e-6;
    let of_resolutions: [(&str, fn(Resolution) -> f64); 5] = [
        ("h3_edge_angle", |r| DEGREES_OF_METRE * average(&EDGE_METRES, r)),
        ("h3_edge_length_m", |r| average(&EDGE_METRES, r)),
        ("h3_edge_length_km", |r| average(&EDGE_KILOMETRES, r)),
        ("h3_hex_area_m2", |r| average(&AREA_SQUARE_METRES, r)),
        ("h3_hex_area_km2", |r| average(&AREA_SQUARE_KILOMETRES, r)),
    ];
    for (name, f) in of_resolutions {
        define(registry, name, move |c| of_ints(c, 1, LogicalType::Float64, move |v| Ok(f(resolution(v[0])?)), floats));
    }
    let of_cells: [(&str, fn(CellIndex) -> f64); 2] =
        [("h3_cell_area_m2", |c| c.area_m2()), ("h3_cell_area_rads2", |c| c.area_rads2())];
    for (name, f) in of_cells {
        define(registry, name, move |c| of_ints(c, 1, LogicalType::Float64, move |v| Ok(f(cell(v[0])?)), floats));
    }
    let of_edges: [(&str, fn(DirectedEdgeIndex) -> f64); 3] = [
        ("h3_exact_edge_length_m", |e| e.length_m()),
        ("h3_exact_edge_length_km", |e| e.length_km()),
        ("h3_exact_edge_length_rads", |e| e.length_rads()),
    ];
    for (name, f) in of_edges {
        define(registry, name, move |c| of_ints(c, 1, LogicalType::Float64, move |v| Ok(f(edge(v[0])?)), floats));
    }
}

fn register_edges(registry: &mut Registry) {
    use LogicalType as T;
    define(registry, "h3_get_unidirectional_edge", |c| {
        of_ints(c, 2, T::UInt64, |v| Ok(cell(v[0])?.edge(cell(v[1])?).map_or(0, u64::from)), words)
    });
    define(registry, "h3_unidirectional_edge_is_valid", |c| {
        of_ints(c, 1, T::UInt8, |v| Ok(edge(v[0]).is_ok()), truths)
    });
    define(registry, "h3_get_origin_index_from_unidirectional_edge", |c| {
        of_ints(c, 1, T::UInt64, |v| Ok(edge(v[0])?.origin().into()), words)
    });
    define(registry, "h3_get_destination_index_from_unidirectional_edge", |c| {
        of_ints(c, 1, T::UInt64, |v| Ok(edge(v[0])?.destination().into()), words)
    });
    define(registry, "h3_get_unidirectional_edges_from_hexagon", |c| {
        of_ints(c, 1, T::array(T::UInt64), |v| Ok(cell(v[0])?.edges().map(u64::from).collect()), word_lists)
    });
    define(registry, "h3_get_indexes_from_unidirectional_edge", |c| {
        let ends = |v: &[i64]| edge(v[0]).map(|e| (u64::from(e.origin()), u64::from(e.destination())));
        let ty = LogicalType::Tuple(
            vec![(Some("origin".into()), T::UInt64), (Some("destination".into()), T::UInt64)].into(),
        );
        of_ints(c, 1, ty, ends, |values: Vec<(u64, u64)>| {
            let ty = LogicalType::Tuple(
                vec![(Some("origin".into()), T::UInt64), (Some("destination".into()), T::UInt64)].into(),
            );
            let n = values.len();
            tuple(&ty, vec![uint64s(n, |i| values[i].0), uint64s(n, |i| values[i].1)], n)
        })
    });
    define(registry, "h3_get_unidirectional_edge_boundary", |c| {
        let boundary = |v: &[i64]| Ok(edge(v[0])?.boundary().iter().map(|p| (p.lat(), p.lng())).collect());
        of_ints(c, 1, T::array(pair()), boundary, places)
    });
}
