//! Tables that fit: columns are shortened first, then left out, the least important ones first.

use super::{
    layout,
    text::{Line, Style},
};

/// A column and how it yields when space is short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its heading; empty for none.
    pub(crate) title: &'static str,
    /// It is not made narrower than this.
    pub(crate) min: usize,
    /// The higher, the earlier it is shortened and left out; 0 always stays.
    pub(crate) rank: u8,
}

/// One cell.
pub(crate) type Cell = (Style, String);

/// Space between columns.
const GAP: usize = 2;

/// Sets `rows` in at most `columns` columns, each line `indent` columns in.
pub(crate) fn set(
    spec: &[Column],
    rows: &[Vec<Cell>],
    indent: usize,
    columns: Option<usize>,
) -> Vec<Line> {
    let widths = widths(spec, rows, columns.map(|c| c.saturating_sub(indent)));
    let titled = spec.iter().any(|column| !column.title.is_empty());
    let header = spec
        .iter()
        .map(|column| (Style::Dim, column.title.to_owned()))
        .collect::<Vec<_>>();
    titled
        .then_some(&header)
        .into_iter()
        .chain(rows)
        .map(|row| line(row, &widths, indent))
        .collect()
}

/// The width of each column; 0 leaves it out.
fn widths(spec: &[Column], rows: &[Vec<Cell>], limit: Option<usize>) -> Vec<usize> {
    let natural: Vec<usize> = spec
        .iter()
        .enumerate()
        .map(|(i, column)| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|(_, text)| layout::width(text))
                // A column that is empty throughout is left out, heading and all.
                .max()
                .filter(|&w| w > 0)
                .map_or(0, |w| w.max(layout::width(column.title)))
        })
        .collect();
    let Some(limit) = limit else { return natural };
    let mut by_rank: Vec<usize> = (0..spec.len()).collect();
    by_rank.sort_by_key(|&i| std::cmp::Reverse(spec[i].rank));
    let mut widths = natural.clone();
    for drop in 0..spec.len() {
        widths.clone_from(&natural);
        for &i in &by_rank[..drop] {
            if spec[i].rank > 0 {
                widths[i] = 0;
            }
        }
        for &i in &by_rank {
            let excess = total(&widths).saturating_sub(limit);
            if excess == 0 {
                return widths;
            }
            if widths[i] > 0 && spec[i].rank > 0 {
                widths[i] = widths[i]
                    .saturating_sub(excess)
                    .max(spec[i].min.min(widths[i]));
            }
        }
        if total(&widths) <= limit {
            return widths;
        }
    }
    widths
}

fn total(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|&&w| w > 0).count();
    widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1)
}

fn line(row: &[Cell], widths: &[usize], indent: usize) -> Line {
    let mut line = Line::new().plain(" ".repeat(indent));
    for ((style, text), &width) in row.iter().zip(widths) {
        if width == 0 {
            continue;
        }
        let text = layout::truncate(text, width).into_owned();
        let pad = width - layout::width(&text) + GAP;
        line = line.put(*style, text).plain(" ".repeat(pad));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: [Column; 3] = [
        Column {
            title: "",
            min: 4,
            rank: 0,
        },
        Column {
            title: "",
            min: 4,
            rank: 1,
        },
        Column {
            title: "",
            min: 6,
            rank: 2,
        },
    ];

    fn shown(limit: Option<usize>) -> String {
        let cell = |text: &str| (Style::Plain, text.to_owned());
        let rows = [vec![
            cell("01:00.0"),
            cell("nouveau"),
            cell("GeForce RTX 2060"),
        ]];
        let lines = set(&SPEC, &rows, 0, limit);
        let text: String = lines[0].spans().map(|(_, text)| text.to_owned()).collect();
        text.trim_end().to_owned()
    }

    #[test]
    fn columns_yield_in_order() {
        assert_eq!(shown(None), "01:00.0  nouveau  GeForce RTX 2060");
        assert_eq!(shown(Some(30)), "01:00.0  nouveau  GeForce RTX…");
        assert_eq!(shown(Some(22)), "01:00.0  nouv…  GeFor…");
        assert_eq!(shown(Some(16)), "01:00.0  nouveau");
        assert_eq!(shown(Some(3)), "01:00.0");
    }
}
