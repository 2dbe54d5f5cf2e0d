//! The device list as text: cards with what travels with them, all functions, or the bus tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use passthru_plan::{Address, Facts, card, facts::Function, rules};

use super::{
    table::{self, Cell, Column},
    text::{Line, Style},
};
use crate::out::Out;

const COLUMNS: [Column; 5] = [
    Column {
        title: "",
        min: 7,
        rank: 0,
    },
    Column {
        title: "",
        min: 8,
        rank: 1,
    },
    Column {
        title: "",
        min: 9,
        rank: 4,
    },
    Column {
        title: "",
        min: 6,
        rank: 2,
    },
    Column {
        title: "",
        min: 10,
        rank: 3,
    },
];

/// How many of the leading words of a function's name its neighbours of the same vendor share: the
/// vendor, mostly, and often the chip.
fn shared_words(function: &Function, neighbours: &[&Function]) -> usize {
    let words = |f: &Function| -> Vec<String> {
        let name = f.name.as_deref().unwrap_or_default();
        name.split(' ').map(str::to_owned).collect()
    };
    let own = words(function);
    neighbours
        .iter()
        .filter(|other| other.ids.vendor == function.ids.vendor && other.name != function.name)
        .map(|other| {
            own.iter()
                .zip(words(other))
                .take_while(|(a, b)| *a == b)
                .count()
        })
        .min()
        .unwrap_or(0)
}

/// One function as a row.
fn row(function: &Function, mark: Option<Style>) -> Vec<Cell> {
    let (driver_style, driver) = match function.driver.as_deref() {
        Some("vfio-pci") => (Style::Good, "vfio-pci"),
        Some(driver) => (Style::Plain, driver),
        None => (Style::Dim, "-"),
    };
    vec![
        (mark.unwrap_or(Style::Accent), function.address.to_string()),
        (Style::Plain, function.class.word().to_owned()),
        (Style::Dim, function.ids.to_string()),
        (driver_style, driver.to_owned()),
        (Style::Plain, function.name.clone().unwrap_or_default()),
    ]
}

/// A card of this host: a display controller and what travels with it.
pub(crate) struct CardView<'a> {
    /// The display controller.
    pub(crate) display: &'a Function,
    /// All functions of the card, in address order.
    pub(crate) functions: Vec<&'a Function>,
    /// Other functions that share a group with it and hold the group back.
    pub(crate) in_the_way: Vec<&'a Function>,
    /// Other functions that share a group with it and do no harm.
    pub(crate) beside: Vec<&'a Function>,
}

/// The cards of a host, in address order.
pub(crate) fn cards(facts: &Facts) -> Vec<CardView<'_>> {
    let mut cards: Vec<CardView<'_>> = Vec::new();
    for display in card::gpus(facts) {
        let shown =
            |card: &CardView<'_>| card.functions.iter().any(|f| f.address == display.address);
        if cards.iter().any(shown) {
            continue;
        }
        let own = card::functions_of(facts, display.address);
        let functions: Vec<_> = own.iter().filter_map(|a| facts.function(*a)).collect();
        let mut ids: Vec<u32> = functions.iter().filter_map(|f| f.group).collect();
        ids.sort_unstable();
        ids.dedup();
        let groups: Vec<_> = ids.into_iter().filter_map(|id| facts.group(id)).collect();
        let in_the_way: Vec<_> = groups
            .iter()
            .flat_map(|group| rules::blockers(facts, group, &own))
            .map(|blocker| blocker.function)
            .collect();
        let is_blocker = |address| in_the_way.iter().any(|f| f.address == address);
        let beside = groups
            .iter()
            .flat_map(|group| &group.functions)
            .filter(|address| !own.contains(address) && !is_blocker(**address))
            .filter_map(|address| facts.function(*address))
            .collect();
        cards.push(CardView {
            display,
            functions,
            in_the_way,
            beside,
        });
    }
    cards
}

/// What a card does for the host now, a few words each.
pub(crate) fn duties(facts: &Facts, card: &CardView<'_>) -> Vec<String> {
    let mut duties = Vec::new();
    let address = card.display.address;
    let monitors: Vec<&str> = facts
        .display
        .cards
        .iter()
        .filter(|drm| drm.function == Some(address))
        .flat_map(|drm| &drm.connectors)
        .filter(|connector| connector.connected)
        .map(|connector| {
            // `card0-HDMI-A-1`: the card number moves, the connector does not.
            connector
                .name
                .split_once('-')
                .map_or(connector.name.as_str(), |(_, rest)| rest)
        })
        .collect();
    if !monitors.is_empty() {
        duties.push(format!("monitor on {}", monitors.join(", ")));
    }
    if card.display.boot_vga == Some(true) {
        duties.push("boot display".to_owned());
    }
    for function in &card.functions {
        for usage in facts.uses_of(function.address) {
            duties.push(usage.detail.clone());
        }
    }
    duties
}

/// Cards by group, and what is in their way.
pub(crate) fn show_cards(out: &mut Out, facts: &Facts) -> io::Result<()> {
    let cards = cards(facts);
    if cards.is_empty() {
        out.text("No display controller on the PCI bus.")?;
        out.text("passthru devices --all shows every function.")?;
        return Ok(());
    }
    for (i, card) in cards.iter().enumerate() {
        if i > 0 {
            out.blank()?;
        }
        show_card(out, facts, card)?;
    }
    Ok(())
}

fn show_card(out: &mut Out, facts: &Facts, card: &CardView<'_>) -> io::Result<()> {
    let name = card.display.label();
    let lead = Line::new().bold(format!("Card {}  ", card.display.address.slot_text()));
    out.wrapped(lead, Style::Bold, &name)?;
    let mut rows: Vec<(Option<u32>, Vec<Cell>)> = Vec::new();
    let all: Vec<&Function> = [&card.functions, &card.in_the_way, &card.beside]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let mut add = |functions: &[&Function], mark| {
        rows.extend(functions.iter().map(|f| {
            let mut cells = row(f, mark);
            let name = f.name.as_deref().unwrap_or_default();
            let words = name.split(' ').skip(shared_words(f, &all));
            cells[4].1 = words.collect::<Vec<_>>().join(" ");
            (f.group, cells)
        }));
    };
    add(&card.functions, None);
    add(&card.in_the_way, Some(Style::Bad));
    add(&card.beside, Some(Style::Dim));
    let mut groups: Vec<Option<u32>> = rows.iter().map(|(group, _)| *group).collect();
    groups.sort_unstable();
    groups.dedup();
    // One table over all groups, so that the columns of a card align.
    let cells: Vec<_> = groups
        .iter()
        .flat_map(|group| rows.iter().filter(move |(g, _)| g == group))
        .collect();
    let lines = table::set(
        &COLUMNS,
        &cells.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>(),
        4,
        out.columns(),
    );
    let mut last = None;
    for ((group, _), line) in cells.iter().zip(&lines) {
        if last != Some(*group) {
            last = Some(*group);
            out.line(&Line::new().plain("  ").dim(group_title(*group)))?;
        }
        out.line(line)?;
    }
    for duty in duties(facts, card) {
        let lead = Line::new().plain("  ").put(Style::Warn, "in use: ");
        out.wrapped(lead, Style::Plain, &duty)?;
    }
    for function in &card.in_the_way {
        let lead = Line::new().plain("  ").put(Style::Bad, "in the way: ");
        out.wrapped(lead, Style::Plain, &obstacle(facts, function))?;
    }
    Ok(())
}

fn group_title(group: Option<u32>) -> String {
    group.map_or("no IOMMU group".to_owned(), |id| format!("group {id}"))
}

/// A function that holds a group back, and what the host would lose.
pub(crate) fn obstacle(facts: &Facts, function: &Function) -> String {
    let mut text = format!(
        "{} {}, driven by {}",
        function.address,
        function.class.word(),
        function.driver.as_deref().unwrap_or("nothing")
    );
    let uses: Vec<&str> = facts
        .uses_of(function.address)
        .map(|usage| usage.detail.as_str())
        .collect();
    if !uses.is_empty() {
        text.push_str("; the host uses it for ");
        text.push_str(&uses.join(", "));
    }
    text
}

/// Every function, by group.
pub(crate) fn show_all(out: &mut Out, facts: &Facts) -> io::Result<()> {
    let mut functions: Vec<&Function> = facts.functions.iter().collect();
    // Functions without a group last, as in the JSON.
    functions.sort_by_key(|f| (f.group.is_none(), f.group, f.address));
    let rows: Vec<_> = functions.iter().map(|f| row(f, None)).collect();
    let lines = table::set(&COLUMNS, &rows, 2, out.columns());
    let mut last = None;
    for (function, line) in functions.iter().zip(&lines) {
        if last != Some(function.group) {
            last = Some(function.group);
            out.line(&Line::new().bold(group_title(function.group)))?;
        }
        out.line(line)?;
    }
    if functions.is_empty() {
        out.text("No PCI function.")?;
    }
    Ok(())
}

/// Every function below the bridge it hangs on.
pub(crate) fn show_tree(out: &mut Out, facts: &Facts) -> io::Result<()> {
    let mut tree = Tree::default();
    for function in &facts.functions {
        let parent = function
            .parent
            .filter(|&parent| facts.function(parent).is_some());
        tree.below.entry(parent).or_default().push(function);
    }
    for root in tree.below.get(&None).cloned().unwrap_or_default() {
        tree.grow(root, 0);
    }
    let spec = [
        Column {
            title: "",
            min: 7,
            rank: 0,
        },
        Column {
            title: "",
            min: 8,
            rank: 1,
        },
        Column {
            title: "",
            min: 5,
            rank: 2,
        },
        Column {
            title: "",
            min: 6,
            rank: 3,
        },
        Column {
            title: "",
            min: 10,
            rank: 4,
        },
    ];
    for line in table::set(&spec, &tree.rows, 0, out.columns()) {
        out.line(&line)?;
    }
    Ok(())
}

/// The bus as a tree, and the rows it makes.
#[derive(Default)]
struct Tree<'a> {
    below: BTreeMap<Option<Address>, Vec<&'a Function>>,
    seen: BTreeSet<Address>,
    rows: Vec<Vec<Cell>>,
}

/// Bridges nest at most 256 deep (one bus number each); a capture may say otherwise.
const DEEPEST: usize = 256;

impl<'a> Tree<'a> {
    fn grow(&mut self, function: &'a Function, depth: usize) {
        if depth > DEEPEST || !self.seen.insert(function.address) {
            return;
        }
        let mut cells = row(function, None);
        cells[0].1 = format!("{}{}", "  ".repeat(depth), cells[0].1);
        let group = function
            .group
            .map_or(String::new(), |id| format!("group {id}"));
        cells[2] = (Style::Dim, group);
        self.rows.push(cells);
        for child in self
            .below
            .get(&Some(function.address))
            .cloned()
            .unwrap_or_default()
        {
            self.grow(child, depth + 1);
        }
    }
}
