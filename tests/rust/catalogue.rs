//! A namespace of thousands of units: an import reads three documents, whatever their number.

use crate::engine_support::{Client, ClientOptions, World, files_below};
use magic_module::error::Kind;
use magic_module::manifest::{Body, Catalogue as Catalogued, Manifest};

const UNITS: usize = 1100;

fn world() -> World {
    let world = World::empty("acme");
    for number in 0..UNITS {
        world.write(&format!("unit_{number}.py"), &format!("number = {number}\n"));
    }
    world.write("magic-module.toml", "[unit_7]\nrequires = ['unit_1099']\n");
    world.publish();
    world
}

#[test]
fn one_unit_of_thousands_costs_three_requests_and_few_bytes() {
    let world = world();
    let client = world.client();
    assert!(client.find("unit_42").unwrap().is_some());
    let hits = world.server.hits();
    let bytes: u64 = hits.iter().map(|hit| hit.bytes).sum();
    assert_eq!(hits.len(), 3, "{hits:?}");
    assert!(bytes <= 64 << 10, "{bytes} bytes");
    assert_eq!(client.text("unit_42", "unit_42.py"), "number = 42\n");
    assert_eq!(world.server.hits().len(), 1);

    // Required units have parts of their own.
    client.import("unit_7").unwrap();
    let active = client.active();
    let names: Vec<&str> = active.iter().filter_map(|unit| unit.split(' ').next()).collect();
    assert_eq!(names, ["unit_1099", "unit_42", "unit_7"]);
    world.server.down(true);
    let offline = world.offline();
    assert_eq!(offline.text("unit_1099", "unit_1099.py"), "number = 1099\n");
    assert_eq!(offline.find("unit_1050").err().unwrap().kind(), Kind::Offline);

    every_unit_is_counted_and_nothing_is_listed_that_is_not_here(&world);
    a_name_that_is_not_there_is_known_from_its_part(&world);
    parts_of_an_older_catalogue_may_be_gone(&world);
    damaged_parts_are_fetched_again(&world);
    what_is_taken_back_is_known_without_reading_a_part(&world);
    a_part_with_other_bytes_is_refused(&world);
}

fn what_is_taken_back_is_known_without_reading_a_part(world: &World) {
    let own =
        |name: &str| Client::new(ClientOptions { cache: world.folder(name), ..world.options() });
    world.write("unit_3.py", "number = 33\n__version__ = '2'\n");
    world.publish();
    let user = own("user");
    assert_eq!(user.active().len(), 0);
    user.import("unit_3").unwrap();
    let good = catalogue(world);
    assert!(good.yanked.is_empty(), "who takes nothing back publishes nothing of it");
    world.write("unit_new.py", "number = -1\n");
    world.write(
        "magic-module.toml",
        "[unit_7]\nrequires = ['unit_1099']\n[unit_3]\nyanked = 'wrong sums'\n",
    );
    world.publish();
    assert_eq!(catalogue(world).yanked.len(), 1);

    // Another import brings the news; the unit in use loads, and warns once.
    let user = own("user");
    user.find("unit_5").unwrap();
    world.server.hits();
    user.wait(user.session.available_now(&user.mount)).unwrap();
    assert_eq!(world.server.paths(), ["manifest.json"], "one document, and no part");
    let next = own("user");
    let unit = next.import("unit_3").unwrap();
    let told = notices(&next, &unit) + notices(&next, &unit).as_str();
    assert_eq!(told.matches("wrong sums").count(), 1, "{told}");
    let info = next.wait(next.session.info(&next.mount, "unit_3")).unwrap();
    assert_eq!((info.version.as_str(), info.yanked.as_deref()), ("2", Some("wrong sums")));

    // Who comes new is refused, an upgrade moves on.
    let error = own("newcomer").import("unit_3").err().unwrap();
    assert_eq!(error.kind(), Kind::Policy);
    assert!(error.to_string().contains("wrong sums"), "{error}");
    assert_eq!(next.upgrade(&["unit_3"]).unwrap().len(), 1);
    let info = next.wait(next.session.info(&next.mount, "unit_3")).unwrap();
    assert_eq!(info.yanked, None, "{}", info.version);
}

fn notices(client: &Client, unit: &magic_module::unit::Unit) -> String {
    client.session.warn_if_yanked(&client.mount, unit);
    let notices = client.session.engine.events.take_notices();
    notices.into_iter().map(|notice| notice.text).collect()
}

fn every_unit_is_counted_and_nothing_is_listed_that_is_not_here(world: &World) {
    world.server.down(false);
    let client = world.client();
    assert_eq!(client.wait(client.session.available_now(&client.mount)).unwrap(), UNITS as u64);
    let listed = client.session.modules_of_mount(&client.mount, "").unwrap();
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["unit_1099", "unit_42", "unit_7"]);
    let all = client.wait(client.session.available(&client.mount)).unwrap();
    assert_eq!(all.len(), UNITS);
    assert_eq!(all.iter().filter(|unit| unit.cached).count(), 3);
}

fn a_name_that_is_not_there_is_known_from_its_part(world: &World) {
    let fresh = Client::new(ClientOptions { cache: world.folder("fresh"), ..world.options() });
    world.server.hits();
    assert!(fresh.find("unit_x").unwrap().is_none());
    assert_eq!(world.server.hits().len(), 3);
    assert!(fresh.find("unit_x").unwrap().is_none());
    assert_eq!(world.server.hits(), []);
}

fn parts_of_an_older_catalogue_may_be_gone(world: &World) {
    let slow = Client::new(ClientOptions { cache: world.folder("slow"), ..world.options() });
    assert!(slow.find("unit_1").unwrap().is_some());
    let Catalogued { tables, .. } = catalogue(world);
    world.write("unit_new.py", "number = 0\n");
    world.publish();
    let newest = catalogue(world);
    let (table, _) = newest.slot("unit_new");
    let old = newest.url_of(&tables[table].unwrap());
    std::fs::remove_file(world.site.join(old)).unwrap();
    let number = (2..).find(|number| newest.slot(&format!("unit_{number}")).0 == table).unwrap();
    let unit = format!("unit_{number}");
    assert_eq!(slow.text(&unit, &format!("{unit}.py")), format!("number = {number}\n"));
}

fn damaged_parts_are_fetched_again(world: &World) {
    let options = || ClientOptions { cache: world.folder("damaged"), ..world.options() };
    let found = |client: Client| client.find("unit_9").map(|found| found.is_some());
    assert!(found(Client::new(options())).unwrap());
    let documents = files_below(&world.folder("damaged/v1/blobs"));
    assert_eq!(documents.len(), 3, "the manifest, a table and a leaf");
    for document in documents {
        let mut bytes = std::fs::read(&document).unwrap();
        bytes[0] ^= 1;
        std::fs::remove_file(&document).unwrap();
        std::fs::write(&document, bytes).unwrap();
        assert!(found(Client::new(options())).unwrap());
        assert!(found(Client::new(ClientOptions { offline: true, ..options() })).unwrap());
    }
}

fn catalogue(world: &World) -> Catalogued {
    let bytes = std::fs::read(world.manifest()).unwrap();
    let Body::Catalogue(catalogue) = Manifest::parse(&bytes).unwrap().body else {
        panic!("this is not a catalogue")
    };
    catalogue
}

fn a_part_with_other_bytes_is_refused(world: &World) {
    for entry in std::fs::read_dir(world.site.join("parts")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, "[]").unwrap();
        }
    }
    let fresh = Client::new(ClientOptions { cache: world.folder("wrong"), ..world.options() });
    let error = fresh.find("unit_1").err().unwrap();
    assert_eq!(error.kind(), Kind::Integrity);
    let sentence = error.to_string();
    assert!(sentence.contains("is not the part that the manifest pins"), "{sentence}");
}
