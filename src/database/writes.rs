//! A write and what is recorded of it, in as few round trips as the database allows.
//!
//! Postgres takes all of it as one statement, which is a transaction by itself: fewer round trips, and
//! locks that are held for less long. `SQLite`, which is part of this process, takes one statement after
//! the other.

use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityName,
    EntityTrait, Iterable,
    sea_query::{
        CommonTableExpression, DynIden, Expr, InsertStatement, IntoIden, Query, SelectStatement,
        SubQueryStatement, TableRef, UpdateStatement, WithClause, WithQuery,
    },
};

/// What the first write is called by those that depend on it.
const WRITTEN: &str = "written";

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

    /// Inserts a row.
    pub fn insert(row: impl ActiveModelTrait) -> Self {
        Self::new(First::Insert(Row::from(row), Query::select()))
    }

    /// Inserts a row, unless `unless` finds one.
    pub fn insert_unless(row: impl ActiveModelTrait, unless: SelectStatement) -> Self {
        let condition = Query::select().and_where(Expr::not_exists(unless)).take();
        Self::new(First::Insert(Row::from(row), condition))
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
        if is_one_statement(database) {
            let written = database.execute(&self.statement()?).await?;
            return Ok(written.rows_affected() > 0);
        }
        let first = match self.first {
            First::Update(update) => database.execute(&update).await?,
            First::Insert(row, condition) => database.execute(&row.insert(condition)?).await?,
        };
        if first.rows_affected() == 0 {
            return Ok(false);
        }
        for row in self.rows {
            database.execute(&row.insert(Query::select())?).await?;
        }
        Ok(true)
    }

    fn statement(self) -> Result<WithQuery, DbErr> {
        let one = || Query::returning().expr(Expr::cust("1"));
        let first: SubQueryStatement = match self.first {
            First::Update(mut update) => update.returning(one()).take().into(),
            First::Insert(row, condition) => row.insert(condition)?.returning(one()).take().into(),
        };
        let mut with = WithClause::new();
        with.cte(named(WRITTEN, first));
        for (number, row) in self.rows.into_iter().enumerate() {
            let insert = row.insert(Query::select().from(WRITTEN).take())?;
            with.cte(named(format!("row_{number}"), insert));
        }
        let told = self.call.unwrap_or_else(|| Expr::cust("1"));
        let last = Query::select().expr(told).from(WRITTEN).take();
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
        Database, DatabaseConnection, PaginatorTrait, QueryFilter, QueryTrait, Schema, Set,
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
        tries::Entity::find_by_id(Uuid::from_u128(id)).into_query()
    }

    fn touch(id: u128) -> UpdateStatement {
        tries::Entity::update_many()
            .set(row(id))
            .filter(tries::Column::Id.eq(Uuid::from_u128(id)))
            .into_query()
    }

    #[tokio::test]
    async fn what_follows_is_written_exactly_when_something_changes() {
        let database = database().await;
        for (write, changes, rows) in [
            (Write::update(touch(1)).and_insert(row(2)), false, 0),
            (Write::insert(row(1)).and_insert(row(2)), true, 2),
            (Write::update(touch(1)).and_insert(row(3)), true, 3),
            (
                Write::insert_unless(row(4), find(3)).and_insert(row(5)),
                false,
                3,
            ),
            (
                Write::insert_unless(row(4), find(9)).and_insert(row(5)),
                true,
                5,
            ),
        ] {
            assert_eq!(write.run(&database).await.unwrap(), changes);
            let count = tries::Entity::find().count(&database).await.unwrap();
            assert_eq!(count, rows);
        }
    }

    #[test]
    fn postgres_is_sent_one_statement() {
        let write = Write::insert_unless(row(1), find(2)).and_insert(row(3));
        let (sql, _) = write.statement().unwrap().build(PostgresQueryBuilder);
        assert_eq!(
            sql,
            "WITH \"written\" AS (INSERT INTO \"tries\" (\"id\", \"settles_at\") SELECT $1, $2 \
             WHERE NOT EXISTS(SELECT \"tries\".\"id\", \"tries\".\"settles_at\" FROM \"tries\" \
             WHERE \"tries\".\"id\" = $3) RETURNING 1) , \"row_0\" AS (INSERT INTO \"tries\" \
             (\"id\", \"settles_at\") SELECT $4, $5 FROM \"written\") SELECT 1 FROM \"written\""
        );
    }
}
