// A job store in a directory of its own, and jobs to put into it.
#pragma once

#include "jobs/store.hpp"

#include "catch.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace gateway {

class store_of_jobs {
public:
    store_of_jobs()
    {
        std::string name = (std::filesystem::temp_directory_path() / "jobs-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        directory_ = name;
        path = name + "/jobs.db";
        locks = std::make_unique<runner_locks>(path);
        reopen();
    }
    ~store_of_jobs()
    {
        store.reset();
        std::filesystem::remove_all(directory_);
    }

    void reopen()
    {
        store.reset();
        auto got = job_store::open(path, std::chrono::milliseconds(50), *locks);
        REQUIRE(got.has_value());
        store = std::move(*got);
    }

    job_store& operator*() { return *store; }
    job_store* operator->() { return store.get(); }

    static new_job one(std::string id)
    {
        new_job j;
        j.id = std::move(id);
        j.what = {"/api/chat", "Content-Type: application/json\r\n", R"({"model":"m"})"};
        j.client = "192.0.2.7";
        return j;
    }
    void submit(const std::string& id) { REQUIRE(store->submit({one(id)}, 1000).has_value()); }

    job get(const std::string& id)
    {
        auto found = store->find(id, everybody);
        REQUIRE(found.has_value());
        REQUIRE(found->has_value());
        return **found;
    }
    job_state state(const std::string& id) { return get(id).life.state; }

    // Takes up so many for `runner`.
    std::vector<claimed_job> claim(std::int64_t runner, unsigned n, std::int64_t now = 2000)
    {
        runner_turn t;
        t.runner = runner;
        t.now = now;
        t.wanted = n;
        t.max_attempts = 2;
        auto news = store->turn(t);
        REQUIRE(news.has_value());
        return news->claimed;
    }

    static inline const job_scope everybody{true, {}};
    std::string path;
    std::unique_ptr<runner_locks> locks;
    std::unique_ptr<job_store> store;

private:
    std::string directory_;
};

}  // namespace gateway
