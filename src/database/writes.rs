//! A write and what is recorded of it, in as few round trips as the database allows.
//!
//! Postgres takes all of it as one statement, which is a transaction by itself: fewer round trips, and
//! locks that are held for less long. `SQLite`, which is part of this process, takes one statement after
//! the other.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityName,
    EntityTrait, Iterable, TryGetable,
    sea_query::{
        CommonTableExpression, DynIden, Expr, InsertStatement, IntoIden, Query, SelectStatement,
        SubQueryStatement, TableRef, UpdateStatement, WithClause, WithQuery,
    },
};

/// What the first write is called by those that depend on it.
const WRITTEN: &str = "written";
/// What is returned of it.
const RETURNED: &str = "returned";

/// Whether a [`Write`] stands or falls as a whole without a transaction around it.
pub fn is_one_statement(database: &impl ConnectionTrait) -> bool {
    database.get_database_backend() == DbBackend::Postgres
}

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

    /// Whether anything was changed. To be done in a transaction, unless it [`is_one_statement`].
    ///
    /// # Errors
    /// The database's.
    pub async fn run(self, database: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let one = Expr::cust("1");
        let written = self.run_returning::<i32>(one, database).await?;
        Ok(written.is_some())
    }

    /// As [`Write::run`]: `returning`, of the row that was changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_returning<T: TryGetable>(
        self,
        returning: Expr,
        database: &impl ConnectionTrait,
    ) -> Result<Option<T>, DbErr> {
        if is_one_statement(database) {
            let written = database.query_one(&self.statement(returning)?).await?;
            return written.map(|row| row.try_get_by_index(0)).transpose();
        }
        let returning = Query::returning().expr(returning);
        // To their ends, where SQLite checks what rows refer to.
        let written = match self.first {
            First::Update(mut update) => {
                let update = update.returning(returning).take();
                database.query_all(&update).await?
            }
            First::Insert(row, of) => {
                let insert = row.insert(of)?.returning(returning).take();
                database.query_all(&insert).await?
            }
        };
        let Some(written) = written.first() else {
            return Ok(None);
        };
        for row in self.rows {
            database.execute(&row.insert(Query::select())?).await?;
        }
        written.try_get_by_index(0).map(Some)
    }

    fn statement(self, returning: Expr) -> Result<WithQuery, DbErr> {
        let returning = Query::returning().expr(returning);
        let first: SubQueryStatement = match self.first {
            First::Update(mut update) => update.returning(returning).take().into(),
            First::Insert(row, of) => row.insert(of)?.returning(returning).take().into(),
        };
        let mut with = WithClause::new();
        with.cte(named(WRITTEN, first).column(RETURNED).to_owned());
        for (number, row) in self.rows.into_iter().enumerate() {
            let insert = row.insert(Query::select().from(WRITTEN).take())?;
            with.cte(named(format!("row_{number}"), insert));
        }
        let mut last = Query::select();
        last.column(RETURNED).from(WRITTEN);
        if let Some(call) = self.call {
            last.expr(call);
        }
        let mut statement = WithQuery::new();
        statement.with_clause(with).query(last);
        Ok(statement)
    }
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
        Database, DatabaseConnection, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait, Schema,
        sea_query::PostgresQueryBuilder,
    };
    use uuid::Uuid;

    use super::*;

    async fn database() -> DatabaseConnection {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        let schema = Schema::new(DbBackend::Sqlite);
        let table = schema.create_table_from_entity(tries::Entity);
        database.execute(&table).await.unwrap();
        database
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
            let count = tries::Entity::find().count(&database).await.unwrap();
            assert_eq!(count, rows);
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
    fn postgres_is_sent_one_statement() {
        let write = insert_after(2, 1).and_insert(row(3));
        let id = Expr::col(tries::Column::Id);
        let (sql, _) = write.statement(id).unwrap().build(PostgresQueryBuilder);
        assert_eq!(
            sql,
            "WITH \"written\" (\"returned\") AS (INSERT INTO \"tries\" (\"id\", \"settles_at\") \
             SELECT $1, \"settles_at\" FROM \"tries\" WHERE \"tries\".\"id\" = $2 RETURNING \"id\") , \
             \"row_0\" AS (INSERT INTO \"tries\" (\"id\", \"settles_at\") SELECT $3, $4 \
             FROM \"written\") SELECT \"returned\" FROM \"written\""
        );
    }
}
