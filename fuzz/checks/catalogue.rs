//! Parts of a catalogue: refused as such, or every unit stands where it would be looked for.
//! The first byte chooses the levels, the rest is the part.

use magic_module::error::Kind;
use magic_module::manifest::Catalogue;
use magic_module::name::Namespace;

pub fn check(data: &[u8]) {
    let Some((levels, part)) = data.split_first() else { return };
    let bits = [levels & 1, levels >> 1 & 1];
    let catalogue = Catalogue {
        units: 1,
        bits,
        parts: "parts".into(),
        tables: vec![None; 1 << bits[0]],
        yanked: Default::default(),
    };
    if let Err(error) = catalogue.parse_table(part) {
        assert_eq!(error.kind(), Kind::Manifest, "{error}");
    }
    let namespace = Namespace::new("acme").unwrap();
    for slot in [(0, 0), (usize::from(bits[0]), usize::from(bits[1]))] {
        match catalogue.parse_leaf(&namespace, slot, part) {
            Ok(modules) => {
                assert!(modules.0.keys().all(|unit| catalogue.slot(unit.as_str()) == slot));
            }
            Err(error) => assert_eq!(error.kind(), Kind::Manifest, "{error}"),
        }
    }
}
