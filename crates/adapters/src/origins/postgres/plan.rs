//! Is a space's SQL right, and what does the server say of its parameters and columns? Asked on a live connection, at
//! start if there is one, else by the first load; and again from time to time, since schemas change.

use std::borrow::Cow;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Column, Error, Statement};

use super::super::sql::check::{self, Shape};
use super::super::sql::{Dialect, LIST, SqlQuery, TABLES_LISTED};
use super::super::{SetupError, listed};
use super::fault;
use super::link::Trouble;
use super::param::{Bound, Takes};
use super::sql::{self, Holds, Positional};
use crate::Captures;

/// The longest chain of types within types that is followed.
const NESTED: usize = 8;

/// All that a load needs to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) one: Ask,
    pub(super) many: Option<Batch>,
    pub(super) shape: Shape,
    pub(super) max_rows: usize,
    pub(super) max_bytes: usize,
}

/// The statement for one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) text: Text,
    /// The captures to bind, and what they may be: parameter 1 is the first.
    binds: Vec<(Arc<str>, Takes)>,
}

/// A statement as it is prepared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    sql: String,
    /// Of its parameters.
    types: Vec<Type>,
    /// Of the columns that the query had, which stand behind ours.
    witnesses: Vec<Type>,
}

impl Text {
    /// The statement on this connection, of which we know what it is.
    pub(super) async fn prepared(&self, client: &ClientWrapper) -> Result<Statement, Trouble> {
        let statement = client.prepare_typed_cached(&self.sql, &self.types).await?;
        let own = statement.columns().len().saturating_sub(self.witnesses.len());
        let now = statement.columns().iter().skip(own).map(Column::type_);
        if now.eq(self.witnesses.iter()) { Ok(statement) } else { Err(Trouble::Outdated) }
    }
}

/// The statement for many keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) text: Text,
    /// The capture that tells keys apart, and what it may be.
    pub(super) key: Arc<str>,
    pub(super) takes: Takes,
}

/// The values of a statement's parameters.
pub(super) enum Values<'c> {
    Bound(Vec<Bound<'c>>),
    /// A part of the key is no value of its parameter's type: no row can have it.
    Never,
    /// The key lacks a part.
    Incomplete,
}

impl Ask {
    pub(super) fn values<'c>(&self, captures: &'c Captures) -> Values<'c> {
        let mut values = Vec::with_capacity(self.binds.len());
        for (name, takes) in &self.binds {
            let Some(capture) = captures.get(name) else { return Values::Incomplete };
            let Some(text) = takes.text(capture) else { return Values::Never };
            values.push(Bound(Some(text)));
        }
        Values::Bound(values)
    }
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum Unplanned {
    /// It has to be written otherwise.
    Wrong(SetupError),
    /// It could not be asked.
    Trouble(Trouble),
}

impl From<Trouble> for Unplanned {
    fn from(trouble: Trouble) -> Unplanned {
        Unplanned::Trouble(trouble)
    }
}

impl From<SetupError> for Unplanned {
    fn from(error: SetupError) -> Unplanned {
        Unplanned::Wrong(error)
    }
}

/// What the texts alone tell, without a database.
pub(super) fn check_texts(query: &SqlQuery) -> Result<(), SetupError> {
    check::text("query", &query.query, &query.captures, Dialect::Postgres)?;
    let one = sql::query("query", &query.query)?;
    check::known(&one.binds, &query.captures)?;
    let of_many = |many: &String| {
        check::text("many", many, &query.captures, Dialect::Postgres)?;
        sql::many(many, check::key(&one.binds)?).map(drop)
    };
    query.many.as_ref().map_or(Ok(()), |many| of_many(many).map_err(|error| error.about("many")))
}

pub(super) async fn plan(client: &ClientWrapper, query: &SqlQuery) -> Result<Plan, Unplanned> {
    let one = sql::query("query", &query.query)?;
    let (statement, columns) = inspect(client, "query", &one).await?;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let shape = check::shape(query.column.as_deref(), query.rows, &names)?;
    let body: Vec<&sql::Column> = columns.iter().collect();
    sayable("query", shape, &body)?;
    let binds = one.binds.iter().zip(statement.params());
    let binds = binds.map(|(name, ty)| Ok((name.clone(), takes("query", name, ty)?)));
    let ask = Ask {
        text: Text {
            sql: sql::wrapped(&one, &body, None, shape, query.max_rows, query.max_bytes),
            types: statement.params().to_vec(),
            witnesses: statement.columns().iter().map(|column| column.type_().clone()).collect(),
        },
        binds: binds.collect::<Result<_, SetupError>>()?,
    };
    let many = match &query.many {
        None => None,
        Some(many) => Some(batch(client, query, many, &ask, &names, shape).await.map_err(|error| match error {
            Unplanned::Wrong(error) => Unplanned::Wrong(error.about("many")),
            other => other,
        })?),
    };
    Ok(Plan { one: ask, many, shape, max_rows: query.max_rows, max_bytes: query.max_bytes })
}

async fn batch(
    client: &ClientWrapper,
    query: &SqlQuery,
    many: &str,
    one: &Ask,
    names: &[String],
    shape: Shape,
) -> Result<Batch, Unplanned> {
    let binds: Vec<Arc<str>> = one.binds.iter().map(|(name, _)| name.clone()).collect();
    let key = check::key(&binds)?;
    let positional = sql::many(many, key)?;
    let (statement, columns) = inspect(client, "many", &positional).await?;
    let own: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let (key_column, output) = check::pairs(&own, names, key)?;
    let body: Vec<&sql::Column> = output.iter().map(|at| &columns[*at]).collect();
    sayable("many", shape, &body)?;
    let takes = match statement.params().first().map(Type::kind) {
        Some(Kind::Array(member)) => takes("many", LIST, member)?,
        _ => return Err(check::misplaced_list(key).into()),
    };
    if one.binds.iter().any(|(_, of_one)| *of_one != takes) {
        return Err(Unplanned::Wrong(SetupError::new(
            "`many` compares with values of another type than `query`",
            format!("compare with the same column in both, or cast: :{key}::bigint and :{LIST}::bigint[]"),
        )));
    }
    // In the order in which they stand: those of the body, then the key's if it is not among them.
    let last = (!output.contains(&key_column)).then_some(key_column);
    let witnesses = output.into_iter().chain(last).map(|at| statement.columns()[at].type_().clone()).collect();
    let sql = sql::wrapped(&positional, &body, Some(key), shape, query.max_rows, query.max_bytes);
    let text = Text { sql, types: statement.params().to_vec(), witnesses };
    Ok(Batch { text, key: key.clone(), takes })
}

/// Asks the server what a statement takes and returns.
async fn inspect(
    client: &ClientWrapper,
    what: &str,
    positional: &Positional,
) -> Result<(Statement, Vec<sql::Column>), Unplanned> {
    let statement = match client.prepare(&positional.sql).await {
        Ok(statement) => statement,
        Err(error) => return Err(unprepared(client, what, positional, error).await),
    };
    let columns: Vec<sql::Column> = statement
        .columns()
        .iter()
        .map(|column| sql::Column { name: column.name().to_owned(), holds: holds(column.type_(), NESTED) })
        .collect();
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    check::distinct(what, &names)?;
    if names.is_empty() {
        let error = SetupError::new(format!("`{what}` returns no column"), "select what the value is made of");
        return Err(error.into());
    }
    Ok((statement, columns))
}

fn holds(ty: &Type, depth: usize) -> Holds {
    if depth == 0 {
        return Holds::Other;
    }
    let within = |ty: &Type| holds(ty, depth - 1);
    match ty.kind() {
        Kind::Domain(inner) => within(inner),
        Kind::Array(member) => match within(member) {
            Holds::Numbers | Holds::ArraysOfNumbers => Holds::ArraysOfNumbers,
            other => other,
        },
        Kind::Composite(fields) if fields.iter().any(|field| within(field.type_()) == Holds::Bytes) => Holds::Bytes,
        _ => match *ty {
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Holds::Numbers,
            Type::BYTEA => Holds::Bytes,
            _ => Holds::Other,
        },
    }
}

fn sayable(what: &str, shape: Shape, body: &[&sql::Column]) -> Result<(), SetupError> {
    let bytes = body.iter().find(|column| column.holds == Holds::Bytes);
    match (shape, bytes) {
        (Shape::Object | Shape::Array, Some(sql::Column { name, .. })) => Err(SetupError::new(
            format!("`{what}` returns \"{name}\" of type bytea, which JSON can't hold"),
            format!("serve it alone with `column`, or encode it: encode({name}, 'base64') AS {name}"),
        )),
        _ => Ok(()),
    }
}

fn takes(what: &str, name: &str, ty: &Type) -> Result<Takes, SetupError> {
    Takes::of(ty).ok_or_else(|| {
        SetupError::new(
            format!("`{what}` wants :{name} to be of type {ty}, which no part of a key can be read as"),
            format!("compare texts instead: … WHERE CAST(… AS text) = :{name}"),
        )
    })
}

async fn unprepared(client: &ClientWrapper, what: &str, positional: &Positional, error: Error) -> Unplanned {
    let Some(of_server) = error.as_db_error() else { return Unplanned::Trouble(Trouble::Postgres(error)) };
    let code = of_server.code();
    // What the statement says is wrong; all else may pass.
    if !["0A", "21", "22", "26", "34", "42", "54"].iter().any(|class| code.code().starts_with(class)) {
        return Unplanned::Trouble(Trouble::Postgres(error));
    }
    let words = named(of_server.message(), &positional.binds);
    let hint = match *code {
        SqlState::UNDEFINED_TABLE => match tables(client).await {
            Ok(tables) => format!("the database's tables and views: {}", listed("", &tables)),
            Err(error) => format!("the list of tables can't be read: {}", fault::words(&error)),
        },
        SqlState::INDETERMINATE_DATATYPE => "say its type: :id::int, :name::text".to_owned(),
        SqlState::INSUFFICIENT_PRIVILEGE => NO_RIGHT.to_owned(),
        _ => of_server.hint().map_or_else(
            || "compare the statement with the database's schema".to_owned(),
            |hint| named(hint, &positional.binds).trim_end_matches('.').to_owned(),
        ),
    };
    Unplanned::Wrong(SetupError::new(format!("`{what}` can't be prepared: {words}"), hint))
}

const NO_RIGHT: &str = "grant the user of the URL the right to read it: GRANT SELECT ON … TO …";

/// The server speaks of `$1`, the operator wrote `:id`.
fn named(words: &str, binds: &[Arc<str>]) -> String {
    let each = binds.iter().enumerate().rev();
    each.fold(words.to_owned(), |words, (at, name)| words.replace(&format!("${}", at + 1), &format!(":{name}")))
}

async fn tables(client: &ClientWrapper) -> Result<Vec<String>, Error> {
    let names = format!(
        "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND pg_catalog.pg_table_is_visible(c.oid) \
         AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 LIMIT {TABLES_LISTED}"
    );
    client.query(&names, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Whether the user may read all that the statements name, which only running them, or asking how they would be run,
/// tells.
pub(super) async fn check_rights(client: &ClientWrapper, plan: &Plan) -> Result<(), Unplanned> {
    explain(client, "query", &plan.one.text).await?;
    match &plan.many {
        None => Ok(()),
        Some(many) => explain(client, "many", &many.text).await.map_err(|error| match error {
            Unplanned::Wrong(error) => Unplanned::Wrong(error.about("many")),
            other => other,
        }),
    }
}

async fn explain(client: &ClientWrapper, what: &str, Text { sql, types, .. }: &Text) -> Result<(), Unplanned> {
    let asked = async {
        let statement = client.prepare_typed(&format!("EXPLAIN {sql}"), types).await?;
        let nothing: Vec<Bound<'_>> = types.iter().map(|_| Bound(None::<Cow<'_, str>>)).collect();
        let rows = client.query_raw(&statement, nothing).await?;
        futures_util::TryStreamExt::try_for_each(rows, |_| std::future::ready(Ok(()))).await
    };
    match asked.await {
        Ok(()) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let words = fault::words(&error);
            Err(SetupError::new(format!("`{what}` can't be run: {words}"), NO_RIGHT).into())
        }
        Err(error) => Err(Unplanned::Trouble(Trouble::Postgres(error))),
    }
}
