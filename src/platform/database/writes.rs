//! A write and what is recorded of it, all or nothing and sent at once.
//!
//! Postgres takes all of it as one statement, which is a transaction by itself: fewer round trips, and
//! locks that are held for less long. `SQLite` takes a text of several statements, within a transaction.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityName,
    EntityTrait, Iterable, Statement, StatementBuilder, TryGetable, Values,
    sea_query::{
        CommonTableExpression, DynIden, Expr, InsertStatement, IntoIden, Query, SelectStatement,
        SubQueryStatement, TableRef, UpdateStatement, WithClause, WithQuery,
    },
};

use super::{Database, Transaction};

/// What the first write is called by those that depend on it.
const WRITTEN: &str = "written";
/// What is returned of it.
const RETURNED: &str = "returned";
/// Whether the statement before this one changed anything.
const CHANGED: &str = "changes() > 0";

/// A write that changes one row at most, and rows that are inserted exactly when it does.
#[derive(Debug)]
pub struct Write {
    first: First,
    rows: Vec<Row>,
    call: Option<Expr>,
}

#[derive(Debug)]
enum First {
    Update(UpdateStatement),
    Insert(Row, SelectStatement),
}

/// A row to be inserted.
#[derive(Debug)]
struct Row {
    table: TableRef,
    columns: Vec<DynIden>,
    values: Vec<Expr>,
}

impl Write {
    /// Changes a row.
    pub fn update(update: UpdateStatement) -> Self {
        Self::new(First::Update(update))
    }

    /// Inserts this row, with what else `columns` says of it, for the one row that `of` finds, if it does.
    pub fn insert_for<C: ColumnTrait>(
        of: SelectStatement,
        row: impl ActiveModelTrait,
        columns: impl IntoIterator<Item = (C, Expr)>,
    ) -> Self {
        let mut row = Row::from(row);
        for (column, value) in columns {
            row.columns.push(column.into_iden());
            row.values.push(value);
        }
        Self::new(First::Insert(row, of))
    }

    fn new(first: First) -> Self {
        Self {
            first,
            rows: Vec::new(),
            call: None,
        }
    }

    /// Inserts this row as well, if something was changed.
    #[must_use]
    pub fn and_insert(mut self, row: impl ActiveModelTrait) -> Self {
        self.rows.push(Row::from(row));
        self
    }

    /// Calls this function of Postgres's as well, if something was changed; `SQLite` is not asked.
    #[must_use]
    pub fn and_call(mut self, function: impl Into<Expr>) -> Self {
        self.call = Some(function.into());
        self
    }

    /// Whether anything was changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn run(self, database: &Database) -> Result<bool, DbErr> {
        let written = self.run_returning::<i32>(one(), database).await?;
        Ok(written.is_some())
    }

    /// As [`Write::run`], as a part of this transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_in(self, transaction: &Transaction) -> Result<bool, DbErr> {
        let statement = self.statement(one(), transaction.get_database_backend())?;
        // All of them: what comes after the first row is executed when it is asked for.
        let written = transaction.query_all_raw(statement).await?;
        Ok(!written.is_empty())
    }

    /// As [`Write::run`]: `returning`, of the row that was changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_returning<T: TryGetable>(
        self,
        returning: Expr,
        database: &Database,
    ) -> Result<Option<T>, DbErr> {
        let statement = self.statement(returning, database.get_database_backend())?;
        let written = database.transact(statement).await?;
        let written = written.first().map(|row| row.try_get_by_index(0));
        written.transpose()
    }

    fn statement(self, returning: Expr, backend: DbBackend) -> Result<Statement, DbErr> {
        let returning = Query::returning().expr(returning);
        let Self { first, rows, call } = self;
        match (first, backend) {
            (First::Update(mut update), DbBackend::Postgres) => {
                one_statement(update.returning(returning).take(), rows, call)
            }
            (First::Insert(row, of), DbBackend::Postgres) => {
                one_statement(row.insert(of)?.returning(returning).take(), rows, call)
            }
            (First::Update(mut update), _) => several_statements(update.returning(returning), rows),
            (First::Insert(row, of), _) => {
                several_statements(row.insert(of)?.returning(returning), rows)
            }
        }
    }
}

fn one() -> Expr {
    Expr::cust("1")
}

fn one_statement(
    first: impl Into<SubQueryStatement>,
    rows: Vec<Row>,
    call: Option<Expr>,
) -> Result<Statement, DbErr> {
    let mut with = WithClause::new();
    with.cte(named(WRITTEN, first).column(RETURNED).to_owned());
    for (number, row) in rows.into_iter().enumerate() {
        let insert = row.insert(Query::select().from(WRITTEN).take())?;
        with.cte(named(format!("row_{number}"), insert));
    }
    let mut last = Query::select();
    last.column(RETURNED).from(WRITTEN);
    if let Some(call) = call {
        last.expr(call);
    }
    let mut statement = WithQuery::new();
    statement.with_clause(with).query(last);
    Ok(DbBackend::Postgres.build(&statement))
}

/// Each inserts exactly one row if the one before it changed one, so that all go by the first.
fn several_statements(first: &impl StatementBuilder, rows: Vec<Row>) -> Result<Statement, DbErr> {
    let mut all = DbBackend::Sqlite.build(first);
    for row in rows {
        let of = Query::select().and_where(Expr::cust(CHANGED)).take();
        let Statement { sql, values, .. } = DbBackend::Sqlite.build(&row.insert(of)?);
        all.sql = format!("{}; {sql}", all.sql);
        let all = all.values.get_or_insert(Values(Vec::new()));
        all.0.extend(values.into_iter().flat_map(|values| values.0));
    }
    Ok(all)
}

fn named(name: impl IntoIden, query: impl Into<SubQueryStatement>) -> CommonTableExpression {
    let mut named = CommonTableExpression::new();
    named.table_name(name).query(query);
    named
}

impl<A: ActiveModelTrait> From<A> for Row {
    fn from(mut model: A) -> Self {
        let mut row = Self {
            table: A::Entity::default().table_ref(),
            columns: Vec::new(),
            values: Vec::new(),
        };
        for column in <A::Entity as EntityTrait>::Column::iter() {
            if let ActiveValue::Set(value) | ActiveValue::Unchanged(value) = model.take(column) {
                row.columns.push(column.into_iden());
                row.values.push(column.save_as(Expr::val(value)));
            }
        }
        row
    }
}

impl Row {
    /// Inserts it for each row of `of`.
    fn insert(self, mut of: SelectStatement) -> Result<InsertStatement, DbErr> {
        let mut insert = Query::insert();
        insert
            .into_table(self.table)
            .columns(self.columns)
            .select_from(of.exprs(self.values).take())
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        Ok(insert)
    }
}

#[cfg(test)]
mod tests {
    use entity::tries;
    use sea_orm::{
        ActiveValue::{NotSet, Set},
        QueryFilter, QueryOrder, QuerySelect, QueryTrait, Schema,
    };
    use uuid::Uuid;

    use super::*;

    async fn database() -> Database {
        let database = crate::platform::database::connect(&"sqlite::memory:".into(), 1)
            .await
            .unwrap();
        let schema = Schema::new(DbBackend::Sqlite);
        let table = schema.create_table_from_entity(tries::Entity);
        database.execute(&table).await.unwrap();
        database
    }

    async fn ids(database: &Database) -> Vec<u128> {
        let rows = tries::Entity::find().order_by_asc(tries::Column::Id);
        let rows = rows.all(database).await.unwrap();
        rows.iter().map(|row| row.id.as_u128()).collect()
    }

    fn row(id: u128) -> tries::ActiveModel {
        tries::ActiveModel {
            id: Set(Uuid::from_u128(id)),
            settles_at: Set(chrono::DateTime::UNIX_EPOCH.into()),
        }
    }

    fn find(id: u128) -> SelectStatement {
        let found = tries::Entity::find_by_id(Uuid::from_u128(id)).select_only();
        found.into_query()
    }

    fn touch(id: u128) -> UpdateStatement {
        tries::Entity::update_many()
            .set(row(id))
            .filter(tries::Column::Id.eq(Uuid::from_u128(id)))
            .into_query()
    }

    fn insert(id: u128) -> Write {
        Write::insert_for(Query::select(), row(id), [] as [(tries::Column, Expr); 0])
    }

    /// With when the other one settles.
    fn insert_after(other: u128, id: u128) -> Write {
        let row = tries::ActiveModel {
            settles_at: NotSet,
            ..row(id)
        };
        let settles_at = tries::Column::SettlesAt;
        Write::insert_for(find(other), row, [(settles_at, Expr::col(settles_at))])
    }

    #[tokio::test]
    async fn what_follows_is_written_exactly_when_something_changes() {
        let database = database().await;
        for (write, changes, rows) in [
            (Write::update(touch(1)).and_insert(row(2)), false, 0),
            (insert(1).and_insert(row(2)), true, 2),
            (Write::update(touch(1)).and_insert(row(3)), true, 3),
            (insert_after(9, 4).and_insert(row(5)), false, 3),
            (insert_after(3, 4).and_insert(row(5)), true, 5),
        ] {
            assert_eq!(write.run(&database).await.unwrap(), changes);
            let expected: Vec<u128> = (1..=rows).collect();
            assert_eq!(ids(&database).await, expected);
        }
    }

    #[tokio::test]
    async fn nothing_is_written_when_a_part_fails() {
        let database = database().await;
        let twice = || insert(1).and_insert(row(2)).and_insert(row(2));
        assert!(twice().run(&database).await.is_err());
        let transaction = crate::platform::database::begin(&database).await.unwrap();
        assert!(twice().run_in(&transaction).await.is_err());
        drop(transaction);
        assert_eq!(ids(&database).await, []);
        assert!(insert(1).and_insert(row(2)).run(&database).await.unwrap());
        assert_eq!(ids(&database).await, [1, 2]);
    }

    #[tokio::test]
    async fn a_write_may_be_a_part_of_a_transaction() {
        let database = database().await;
        for (commits, expected) in [(false, vec![]), (true, vec![3, 4, 5])] {
            let transaction = crate::platform::database::begin(&database).await.unwrap();
            let first = insert(3).and_insert(row(4)).run_in(&transaction);
            assert!(first.await.unwrap());
            let second = insert_after(3, 5).run_in(&transaction);
            assert!(second.await.unwrap());
            let third = insert_after(1, 6).and_insert(row(7)).run_in(&transaction);
            assert!(!third.await.unwrap());
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            assert_eq!(ids(&database).await, expected);
        }
    }

    #[tokio::test]
    async fn what_became_of_the_row_is_returned() {
        let database = database().await;
        let settles_at = || Expr::col(tries::Column::SettlesAt);
        for (write, expected) in [
            (insert_after(1, 2), None),
            (insert(1), Some(0)),
            (insert_after(1, 2), Some(0)),
            (Write::update(touch(2)), Some(0)),
            (Write::update(touch(3)), None),
        ] {
            let returned: Option<i64> = write.run_returning(settles_at(), &database).await.unwrap();
            assert_eq!(returned, expected);
        }
    }

    #[test]
    fn each_database_is_sent_all_at_once() {
        let sql = |backend| {
            let write = insert_after(2, 1).and_insert(row(3));
            let id = Expr::col(tries::Column::Id);
            write.statement(id, backend).unwrap().sql
        };
        assert_eq!(
            sql(DbBackend::Postgres),
            "WITH \"written\" (\"returned\") AS (INSERT INTO \"tries\" (\"id\", \"settles_at\") \
             SELECT $1, \"settles_at\" FROM \"tries\" WHERE \"tries\".\"id\" = $2 RETURNING \"id\") , \
             \"row_0\" AS (INSERT INTO \"tries\" (\"id\", \"settles_at\") SELECT $3, $4 \
             FROM \"written\") SELECT \"returned\" FROM \"written\""
        );
        assert_eq!(
            sql(DbBackend::Sqlite),
            "INSERT INTO \"tries\" (\"id\", \"settles_at\") \
             SELECT ?, \"settles_at\" FROM \"tries\" WHERE \"tries\".\"id\" = ? RETURNING \"id\"; \
             INSERT INTO \"tries\" (\"id\", \"settles_at\") SELECT ?, ? WHERE changes() > 0"
        );
    }
}
