#include "jobs/database.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gateway {

database::database(const std::string& path) : path_(path)
{
    // Prompts are in it. SQLite gives the files beside it the same mode.
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        fail({store_error::kind::unusable, path + ": " + std::strerror(errno)});
        return;
    }
    ::close(fd);
    int code =
        sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    if (code != SQLITE_OK)
        fail_with(code);
    else
        sqlite3_extended_result_codes(db_, 1);
}

database::~database()
{
    for (auto& [sql, st] : prepared_)
        sqlite3_finalize(st);
    sqlite3_close_v2(db_);
}

store_error database::take_error()
{
    auto e = error_.value_or(store_error{store_error::kind::unusable, "nothing is wrong"});
    error_.reset();
    return e;
}

void database::fail(store_error e)
{
    if (!error_)
        error_ = std::move(e);
}

void database::fail_with(int code)
{
    int plain = code & 0xff;
    bool passes = plain == SQLITE_BUSY || plain == SQLITE_LOCKED || plain == SQLITE_FULL ||
                  plain == SQLITE_NOMEM || plain == SQLITE_INTERRUPT || plain == SQLITE_TOOBIG;
    std::string text = path_ + ": " + (db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code));
    if (code != plain)
        text += " (" + std::to_string(code) + ")";
    fail({passes ? store_error::kind::passing : store_error::kind::unusable, std::move(text)});
}

void database::set_patience(std::chrono::milliseconds d)
{
    if (db_ != nullptr)
        sqlite3_busy_timeout(db_, static_cast<int>(d.count()));
}

bool database::moved() const
{
    int moved = 0;
    return db_ != nullptr &&
           sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved != 0;
}

std::uint64_t database::stamp()
{
    query others(*this, "PRAGMA data_version");
    std::uint64_t by_others = others.row() ? std::uint64_t(others.number(0)) : 0;
    std::uint64_t by_us = db_ != nullptr ? std::uint64_t(sqlite3_total_changes(db_)) : 0;
    return by_others << 40 ^ by_us;
}

void database::execute(const char* sql)
{
    if (failed())
        return;
    if (int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK)
        fail_with(code);
}

std::int64_t database::last_row() const
{
    return sqlite3_last_insert_rowid(db_);
}

sqlite3_stmt* database::prepare(const char* sql)
{
    if (failed())
        return nullptr;
    auto& st = prepared_[sql];
    if (st == nullptr) {
        int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, nullptr);
        if (code != SQLITE_OK)
            fail_with(code);
    }
    return st;
}

// --- statements ---

query::~query()
{
    if (st_ != nullptr) {
        sqlite3_reset(st_);
        sqlite3_clear_bindings(st_);
    }
}

bool query::row()
{
    if (st_ == nullptr || db_.failed())
        return false;
    int code = sqlite3_step(st_);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        db_.fail_with(code);
    return false;
}

bool query::null(int column) const
{
    return sqlite3_column_type(st_, column) == SQLITE_NULL;
}

std::int64_t query::number(int column) const
{
    return sqlite3_column_int64(st_, column);
}

maybe_number query::number_or_none(int column) const
{
    return null(column) ? maybe_number() : maybe_number(number(column));
}

std::string_view query::bytes(int column) const
{
    auto* data = static_cast<const char*>(sqlite3_column_blob(st_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(st_, column))};
}

maybe_text query::text_or_none(int column) const
{
    return null(column) ? maybe_text() : maybe_text(text(column));
}

// What is bound lives until the statement has run: a query is one full expression or a local beside
// its values.
void query::bind(int at, std::int64_t v)
{
    if (st_ != nullptr)
        sqlite3_bind_int64(st_, at, v);
}

void query::bind(int at, std::string_view v)
{
    if (st_ != nullptr)
        sqlite3_bind_text64(st_, at, v.data() != nullptr ? v.data() : "", v.size(),
                            SQLITE_TRANSIENT, SQLITE_UTF8);
}

void query::bind(int at, blob v)
{
    if (st_ != nullptr)
        sqlite3_bind_blob64(st_, at, v.bytes.data() != nullptr ? v.bytes.data() : "",
                            v.bytes.size(), SQLITE_STATIC);
}

void query::bind(int at, std::nullopt_t)
{
    if (st_ != nullptr)
        sqlite3_bind_null(st_, at);
}

// --- transactions ---

transaction::transaction(database& db, kind k) : db_(db)
{
    db_.execute(k == kind::writes ? "BEGIN IMMEDIATE" : "BEGIN");
    open_ = !db_.failed();
}

transaction::~transaction()
{
    if (!open_)
        return;
    // Whatever has failed, this is done; some failures have already done it.
    if (sqlite3_get_autocommit(db_.handle()) == 0)
        sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

bool transaction::commit()
{
    if (!open_)
        return false;
    db_.execute("COMMIT");
    open_ = db_.failed();
    return !open_;
}

}  // namespace gateway
