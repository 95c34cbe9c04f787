//! Files that extend each other.

use super::*;

const ROOT: &str = "interlingua: 1\nprovider: root\nconfig:\n  key: { type: string, secret: true, env: ROOT_KEY }\nupstream:\n  url: https://root.example\n  headers: { a: x, b: y }\noperations:\n  chat:\n    path: /chat\n    request: { model: $model, list: [1, 2], cap: { $clamp: $.temperature, $min: 0, $max: 2 } }\n    response: $\n  embeddings: { path: /embed, request: { input: $.input }, response: $ }\n";

fn load(files: &[(&str, &str)]) -> (Vec<Resolved>, String) {
    let sources =
        files.iter().map(|(path, text)| Source { path: (*path).to_owned(), text: (*text).to_owned() });
    let (specs, diagnostics) = resolve(sources.collect(), 0);
    (specs, diagnostics.finish().err().map(|errors| errors.to_string()).unwrap_or_default())
}

#[track_caller]
fn check(files: &[(&str, &str)], sound: &[&str], expected: &str) {
    let (specs, told) = load(files);
    assert_eq!(told, expected);
    assert_eq!(specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), sound);
}

fn child(name: &str, parent: &str, rest: &str) -> String {
    format!("interlingua: 1\nprovider: {name}\nextends: {parent}\n{rest}")
}

#[test]
fn a_child_says_only_what_differs() {
    let text = child(
        "kid",
        "root",
        "config:\n  key: { env: KID_KEY }\nupstream:\n  url: https://kid.example\n  headers: { a: null, c: z }\noperations:\n  chat:\n    request: { list: [3], cap: { $max: 1 }, extra: { $literal: null } }\n  embeddings: null\n",
    );
    let (specs, told) = load(&[("kid.yaml", &text), ("root.yaml", ROOT)]);
    assert_eq!(told, "");
    let [kid, root] = specs.as_slice() else { panic!("{specs:?}") };
    assert_eq!((kid.parents.as_slice(), root.parents.len()), (&["root".to_owned()][..], 0));
    let tree = kid.tree.to_json();
    assert_eq!(
        tree.pointer("/operations").unwrap().to_string(),
        r#"{"chat":{"path":"/chat","request":{"model":"$model","list":[3],"cap":{"$clamp":"$.temperature","$min":0,"$max":1},"extra":{"$literal":null}},"response":"$"}}"#
    );
    assert_eq!(
        tree.pointer("/upstream").unwrap().to_string(),
        r#"{"url":"https://kid.example","headers":{"b":"y","c":"z"}}"#
    );
    assert_eq!(tree.pointer("/config/key/env").unwrap(), "KID_KEY");
    // Every node knows the file that said it.
    let file =
        |pointer: &str| kid.tree.at_pointer(pointer).map(|(node, key)| (node.at.file, key.map(|at| at.file)));
    assert_eq!(file("/operations/chat/path"), Some((1, Some(1))));
    assert_eq!(file("/operations/chat/request/cap/$max"), Some((0, Some(0))));
    assert_eq!(file("/operations/chat/request/cap/$min"), Some((1, Some(1))));
}

#[test]
fn chains_and_circles() {
    let (a, b, c) = (child("a", "root", ""), child("b", "a", "title: B\n"), child("c", "b", ""));
    let (specs, told) = load(&[("c.yaml", &c), ("b.yaml", &b), ("a.yaml", &a), ("root.yaml", ROOT)]);
    assert_eq!(told, "");
    assert_eq!(specs.iter().find(|spec| spec.name == "c").unwrap().parents, ["b", "a", "root"]);
    assert_eq!(
        specs.iter().find(|spec| spec.name == "c").unwrap().tree.get("title").unwrap().as_str(),
        Some("B")
    );

    let (a, b, c) = (child("a", "b", ""), child("b", "c", ""), child("c", "b", ""));
    check(
        &[("a.yaml", &a), ("b.yaml", &b), ("c.yaml", &c)],
        &[],
        "b.yaml:3:10: error[E0304]: specs extend each other in a circle: b -> c -> b\n  help: remove `extends` from one of them",
    );
    check(
        &[("a.yaml", &child("a", "a", ""))],
        &[],
        "a.yaml:3:10: error[E0304]: specs extend each other in a circle: a -> a\n  help: remove `extends` from one of them",
    );
    let names: Vec<String> = (0..10).map(|i| format!("s{i}")).collect();
    let mut files = vec![("root.yaml".to_owned(), ROOT.to_owned())];
    for (i, name) in names.iter().enumerate() {
        files.push((format!("{name}.yaml"), child(name, if i == 0 { "root" } else { &names[i - 1] }, "")));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let (specs, told) = load(&files);
    assert_eq!(specs.len(), 8);
    assert_eq!(
        told,
        "s7.yaml:3:10: error[E0305]: the chain of `extends` is longer than 8: s6 -> s5 -> s4 -> s3 -> s2 -> s1 -> s0 -> root"
    );
}

#[test]
fn names_of_files_and_parents() {
    check(
        &[("x/other.yaml", ROOT), ("x/root.yaml", ROOT), ("b.yaml", &child("b", "rot", ""))],
        &["root"],
        "b.yaml:3:10: error[E0303]: there is no spec `rot` to extend\n  help: did you mean `root`?\n\
         x/other.yaml:2:11: error[E0301]: the provider `root` is in a file named `other`\n  help: name the file like the provider, or write `provider: other`\n\
         x/root.yaml:2:11: error[E0302]: there already is a provider `root`\n  help: it is in x/other.yaml; give one of the two another name",
    );
    check(&[("<built in>", ROOT)], &["root"], "");
}

#[test]
fn a_broken_parent_is_told_once() {
    let broken = ROOT.replace("path: /chat", "pth: /chat");
    let kid = child("kid", "root", "statos: beta\nupstream: { url: null, headers: { zzz: null } }\n");
    check(
        &[("kid.yaml", &kid), ("root.yaml", &broken)],
        &[],
        "kid.yaml:4:1: error[E0201]: unknown key `statos`\n  help: did you mean `status`?\n\
         root.yaml:10:5: error[E0201]: unknown key `pth`\n  help: did you mean `path`?",
    );
    let unreadable = "interlingua: 1\nprovider: root\nx: [\n";
    let (specs, told) = load(&[("kid.yaml", &child("kid", "root", "")), ("root.yaml", unreadable)]);
    assert!(specs.is_empty() && told.lines().count() == 2 && told.starts_with("root.yaml:"), "{told}");
}

#[test]
fn what_a_child_breaks_is_its_own_mistake() {
    let kid = child(
        "kid",
        "root",
        "operations:\n  chat:\n    path: null\n    request: { cap: { $clamp: null } }\n    gone: null\n",
    );
    check(
        &[("kid.yaml", &kid), ("root.yaml", ROOT)],
        &["root"],
        "kid.yaml:8:5: error[E0201]: unknown key `gone`\n  help: known here: via, method, path, headers, query, index, reject, unsupported, request, response, pass, forward, subprotocols, record, stream\n\
         kid.yaml:8:5: error[E0306]: null removes what the parent says, and `root` has no `gone` here\n  help: remove the key; null itself is written `$literal: null`",
    );
    let kid = child(
        "kid",
        "root",
        "operations:\n  chat:\n    request: { cap: { $clamp: null } }\nupstream: { url: null }\n",
    );
    check(
        &[("kid.yaml", &kid), ("root.yaml", ROOT)],
        &["root"],
        "kid.yaml:6:16: error[E0502]: merged with `root`: `$min` belongs to `$clamp`, which is missing\n  help: for example: { \"$clamp\": \"$.top_k\", \"$min\": 1 }\n\
         kid.yaml:7:1: error[E0202]: the key `url` is missing\n  help: add `url:` (Base URL)",
    );
}

#[test]
fn many_files_are_an_error() {
    let sources = (0..=MAX_FILES).map(|i| Source { path: format!("{i}"), text: String::new() });
    let (specs, diagnostics) = resolve(sources.collect(), 0);
    assert!(specs.is_empty());
    assert!(
        diagnostics
            .finish()
            .is_err_and(|errors| errors.iter().any(|error| error.code() == codes::TOO_MANY_FILES))
    );
}
