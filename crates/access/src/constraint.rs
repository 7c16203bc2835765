//! What SETTINGS of users, roles and profiles permit for a setting: a least and a greatest value, or no change at all.
//!
//! In: elements, the last one of a setting counts. Out: values to begin with, and whether a change is permitted.

use crate::entity::Element;
use hydron_base::{Code, Error, Result, Settings};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Constraints(BTreeMap<String, Constraint>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Constraint {
    min: Option<String>,
    max: Option<String>,
    readonly: bool,
}

impl Constraints {
    /// Values and constraints of these elements. A value that the setting cannot have any more is passed over.
    pub fn of(elements: &[Element]) -> (Settings, Constraints) {
        let mut settings = Settings::default();
        let mut all = Constraints::default();
        for element in elements {
            let Element::Setting { name, value, min, max, writable } = element else { continue };
            if let Some(value) = value {
                let _ = settings.set(name, value);
            }
            if min.is_none() && max.is_none() && writable.is_none() {
                continue;
            }
            let constraint = all.0.entry(name.clone()).or_default();
            if min.is_some() {
                constraint.min.clone_from(min);
            }
            if max.is_some() {
                constraint.max.clone_from(max);
            }
            if let Some(writable) = writable {
                constraint.readonly = !writable;
            }
        }
        (settings, all)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Errors: SETTING_CONSTRAINT_VIOLATION (452) for the first setting that differs from `before` and may not.
    pub fn check(&self, before: &Settings, after: &Settings) -> Result<()> {
        for (name, constraint) in &self.0 {
            let (old, new) = (before.text(name), after.text(name));
            if old == new {
                continue;
            }
            let refuse = |why: String| Err(Error::new(Code::SETTING_CONSTRAINT_VIOLATION, why));
            if constraint.readonly {
                return refuse(format!("Setting {name} should not be changed"));
            }
            if let Some(max) = constraint.max.as_deref().filter(|max| is_less(max, new)) {
                return refuse(format!("Setting {name} shouldn't be greater than {max}"));
            }
            if let Some(min) = constraint.min.as_deref().filter(|min| is_less(new, min)) {
                return refuse(format!("Setting {name} shouldn't be less than {min}"));
            }
        }
        Ok(())
    }
}

fn is_less(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a < b,
        _ => a < b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_stays_within_its_bounds() {
        let element = |value: Option<&str>, min: Option<&str>, max: Option<&str>, writable| Element::Setting {
            name: "max_threads".to_owned(),
            value: value.map(str::to_owned),
            min: min.map(str::to_owned),
            max: max.map(str::to_owned),
            writable,
        };
        let (settings, bounds) = Constraints::of(&[element(Some("4"), Some("2"), Some("10"), None)]);
        assert_eq!(settings.uint("max_threads"), 4);
        let check = |bounds: &Constraints, value: &str| {
            let mut after = settings.clone();
            after.set("max_threads", value).unwrap();
            bounds.check(&settings, &after).map_err(|e| e.code)
        };
        assert_eq!(check(&bounds, "9"), Ok(()));
        assert_eq!(check(&bounds, "11"), Err(Code::SETTING_CONSTRAINT_VIOLATION));
        assert_eq!(check(&bounds, "1"), Err(Code::SETTING_CONSTRAINT_VIOLATION));
        let (_, fixed) = Constraints::of(&[element(Some("4"), None, None, Some(false))]);
        assert_eq!(check(&fixed, "4"), Ok(()));
        assert_eq!(check(&fixed, "5"), Err(Code::SETTING_CONSTRAINT_VIOLATION));
    }
}
