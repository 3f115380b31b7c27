// One SQLite connection, in the few words that the job store needs. An error stays until it is
// taken: statements after it do nothing, so that a transaction reads as if nothing could fail, and
// its commit says whether anything did. For one thread; nothing here knows of an event loop.
#pragma once

#include <boost/system/result.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

struct sqlite3;
struct sqlite3_stmt;

namespace gateway {

struct store_error {
    enum class kind : std::uint8_t {
        passing,   // locked or full: the same connection will work again
        unusable,  // no database, corrupt, moved away: to be opened anew
    };
    kind what = kind::unusable;
    std::string text;  // for people
};

template <class T = void>
using store_result = boost::system::result<T, store_error>;

// What a column holds that need not hold anything.
using maybe_text = std::optional<std::string>;
using maybe_number = std::optional<std::int64_t>;

// Bytes that are no text.
struct blob {
    std::string_view bytes;
};

class database {
public:
    // Creates the file, readable by its owner only, when there is none. Opened or not: failed()
    // says.
    explicit database(const std::string& path);
    ~database();
    database(const database&) = delete;
    database& operator=(const database&) = delete;

    bool failed() const { return error_.has_value(); }
    // The error, and as if nothing had happened.
    store_error take_error();
    void fail(store_error e);

    // How long a locked database is waited for.
    void set_patience(std::chrono::milliseconds d);
    // Has the file been taken away from under it?
    bool moved() const;
    // Other values after each change, whoever made it.
    std::uint64_t stamp();

    void execute(const char* sql);
    std::int64_t last_row() const;
    sqlite3* handle() { return db_; }

private:
    friend class query;
    sqlite3_stmt* prepare(const char* sql);
    void fail_with(int code);

    sqlite3* db_ = nullptr;
    std::string path_;
    std::optional<store_error> error_;
    std::unordered_map<const char*, sqlite3_stmt*> prepared_;  // by literal
};

// A statement, prepared once per connection. `sql` is a literal.
class query {
public:
    template <class... Values>
    query(database& db, const char* sql, const Values&... values) : db_(db), st_(db.prepare(sql))
    {
        int at = 0;
        (bind(++at, values), ...);
    }
    ~query();
    query(const query&) = delete;
    query& operator=(const query&) = delete;

    // On to the next row; false when there is none, or the database has failed.
    bool row();
    // For what gives no rows.
    void run()
    {
        while (row())
            ;
    }

    std::int64_t number(int column) const;
    maybe_number number_or_none(int column) const;
    std::string_view bytes(int column) const;  // until the next row
    std::string text(int column) const { return std::string(bytes(column)); }
    maybe_text text_or_none(int column) const;

private:
    void bind(int at, std::int64_t v);
    void bind(int at, unsigned v) { bind(at, std::int64_t(v)); }
    void bind(int at, int v) { bind(at, std::int64_t(v)); }
    void bind(int at, bool v) { bind(at, std::int64_t(v)); }
    void bind(int at, std::string_view v);
    void bind(int at, const std::string& v) { bind(at, std::string_view(v)); }
    void bind(int at, blob v);
    void bind(int at, std::nullopt_t);
    template <class T>
    void bind(int at, const std::optional<T>& v)
    {
        if (v)
            bind(at, *v);
        else
            bind(at, std::nullopt);
    }
    bool null(int column) const;

    database& db_;
    sqlite3_stmt* st_;
};

// All or nothing. Rolled back unless committed.
class transaction {
public:
    enum class kind : std::uint8_t { reads, writes };
    transaction(database& db, kind k);
    ~transaction();
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    // True when it is on disk.
    bool commit();

private:
    database& db_;
    bool open_;
};

}  // namespace gateway
