//! The maps of an object: made new, or taken over from the version before.

use super::SessionError;
use std::collections::BTreeMap;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapType};
use uxdp_core::object::{self, MapOrigin, Object, SlotInit};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, MapDef, create_maps};

/// Maps of a version of an object, for the next one: by name, those whose contents say nothing of the program's code.
#[derive(Clone, Default)]
pub struct Kept(BTreeMap<String, Arc<Map>>);

impl Kept {
    /// Of an object's maps, those that a next version can go on with. Global variables begin anew, since where each stands is the version's own, and program arrays
    /// get the next version's programs.
    pub(super) fn of(object: &Object, maps: &[Arc<Map>]) -> Kept {
        let lasting = |def: &object::MapDef| {
            !matches!(def.origin, MapOrigin::Data(_)) && !def.frozen && def.spec.kind != MapType::ProgArray
        };
        let all = object.maps().iter().zip(maps).filter(|(def, _)| lasting(def));
        Kept(all.map(|(def, map)| (def.name.as_str().to_owned(), map.clone())).collect())
    }

    /// The map that can stand where this one is wanted: of its name, type, sizes, flags and inner shape.
    fn place_of(&self, env: &Env, wanted: &object::MapDef) -> Option<&Arc<Map>> {
        let map = self.0.get(wanted.name.as_str())?;
        let lasting = !matches!(wanted.origin, MapOrigin::Data(_)) && !wanted.frozen;
        let spec = wanted.spec.fitted(env.nr_cpus(), env.map_config(None).page_size);
        (lasting && *map.spec() == spec).then_some(map)
    }

    /// Whether the map is one of these.
    pub(super) fn has(&self, map: &Arc<Map>) -> bool {
        self.0.get(map.name()).is_some_and(|m| Arc::ptr_eq(m, map))
    }
}

/// The maps of an object, with their first contents, frozen where they are constant.
///
/// # Errors
/// The first map that cannot be made, with what it says.
pub fn make_maps(env: &Env, object: &Object, file: &str) -> Result<Vec<Arc<Map>>, SessionError> {
    make_maps_keeping(env, object, file, &Kept::default())
}

/// As [`make_maps`], with the kept maps of the same name and shape in the place of new ones.
///
/// # Errors
/// As there.
pub(super) fn make_maps_keeping(
    env: &Env,
    object: &Object,
    file: &str,
    kept: &Kept,
) -> Result<Vec<Arc<Map>>, SessionError> {
    let defs: Vec<MapDef<'_>> = object
        .maps()
        .iter()
        .map(|m| MapDef { name: m.name.as_str(), spec: m.spec, reuse: kept.place_of(env, m) })
        .collect();
    let refused = |index: usize, error: Errno| {
        let map = object.maps().get(index).map_or_else(String::new, |m| m.name.as_str().to_owned());
        match error {
            Errno::ENOMEM => SessionError::Machine { what: format!("{file}, map \"{map}\""), error },
            _ => SessionError::Map { file: file.to_owned(), map, error },
        }
    };
    let maps = create_maps(env, &defs, None).map_err(|(index, e)| refused(index, e))?;
    let reused = |index: usize| defs.get(index).is_some_and(|d| d.reuse.is_some());
    for (index, (def, map)) in object.maps().iter().zip(&maps).enumerate().filter(|(i, _)| !reused(*i)) {
        for &(slot, init) in def.slots.iter() {
            if let SlotInit::Map(inner) = init {
                let inner = maps.get(inner as usize).ok_or_else(|| refused(index, Errno::EINVAL))?;
                env.set_map(map, &slot.to_le_bytes(), inner, 0).map_err(|e| refused(index, e))?;
            }
        }
    }
    for (index, (def, map)) in object.maps().iter().zip(&maps).enumerate().filter(|(i, _)| !reused(*i)) {
        if matches!(def.origin, MapOrigin::Data(_)) {
            map.set_initial(&def.initial).map_err(|e| refused(index, e))?;
        }
        if def.frozen {
            map.freeze().map_err(|e| refused(index, e))?;
        }
    }
    Ok(maps.into_iter().collect())
}
