//! Names of Proton behind which there is nothing yet: they answer NOT_IMPLEMENTED (48) and say what is missing.

use super::define::define_seeing_nulls;
use crate::registry::Registry;
use hydron_base::{Code, Error};

/// Names, and what they would need.
const UNBUILT: &[(&str, &[&str])] = &[
    ("models of machine learning", &["model_evaluate"]),
    (
        "a base of regions",
        &[
            "region_hierarchy",
            "region_in",
            "region_to_area",
            "region_to_city",
            "region_to_continent",
            "region_to_country",
            "region_to_district",
            "region_to_name",
            "region_to_population",
            "region_to_top_continent",
        ],
    ),
    (
        "operations on two polygons",
        &[
            "polygons_distance_spherical",
            "polygons_intersection_cartesian",
            "polygons_intersection_spherical",
            "polygons_sym_difference_cartesian",
            "polygons_sym_difference_spherical",
            "polygons_union_cartesian",
            "polygons_union_spherical",
            "polygons_within_spherical",
        ],
    ),
    ("sets of theta sketches", &["uniq_theta_intersect", "uniq_theta_not", "uniq_theta_union"]),
    ("streams of a serialization", &["get_type_serialization_streams"]),
    ("other servers", &["meili_match", "reverse_dns_query"]),
    ("data of a fuzzer", &["get_fuzzer_data"]),
];

/// The same names where a setting says whether they may be called at all, with the code for when they may not.
const GUARDED: &[(&str, &str, Code, &[&str])] = &[
    (
        "symbols of addresses",
        "allow_introspection_functions",
        Code::FUNCTION_NOT_ALLOWED,
        &["address_to_line", "address_to_line_with_inlines", "address_to_symbol", "demangle"],
    ),
    (
        "models of natural language",
        "allow_experimental_nlp_functions",
        Code::SUPPORT_IS_DISABLED,
        &[
            "detect_charset",
            "detect_language",
            "detect_language_mixed",
            "detect_language_unknown",
            "detect_programming_language",
            "detect_tonality",
            "lemmatize",
            "stem",
            "synonyms",
        ],
    ),
];

pub fn register(registry: &mut Registry) {
    for (what, setting, code, names) in GUARDED {
        for name in *names {
            define_seeing_nulls(registry, name, move |call| {
                if !call.cx.settings.bool(setting) {
                    let text = format!("function \"{}\" is off: set {setting} = 1 to use it", call.name);
                    return Err(Error::new(*code, text));
                }
                Err(Error::not_implemented(format!("{}(): {what}", call.name)))
            });
        }
    }
    for (what, names) in UNBUILT {
        for name in *names {
            define_seeing_nulls(registry, name, move |call| {
                Err(Error::not_implemented(format!("{}(): {what}", call.name)))
            });
        }
    }
    // Lists of top-level domains are configured in ClickHouse; here none is.
    for kind in ["first_significant_subdomain", "cut_to_first_significant_subdomain"] {
        for www in ["", "_with_www"] {
            for rfc in ["", "_rfc"] {
                if kind.starts_with("first") && !www.is_empty() {
                    continue;
                }
                define_seeing_nulls(registry, &format!("{kind}_custom{www}{rfc}"), |call| {
                    call.arity(2..=2)?;
                    call.need_string(0)?;
                    let list = String::from_utf8_lossy(call.constant_text(1)?).into_owned();
                    Err(Error::new(
                        Code::TLD_LIST_NOT_FOUND,
                        format!("no list of top-level domains \"{list}\" is configured"),
                    ))
                });
            }
        }
    }
}
