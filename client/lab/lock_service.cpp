#include "client/lab/lock_service.h"

#include <algorithm>

namespace loyal::lab {

namespace {

constexpr std::uint64_t poll_ms = 5;

Ending ending_with(Operation::Status status, bool applied) {
    Ending ending;
    ending.status = status;
    ending.applied = applied;
    return ending;
}

bool is_done(const client::WriteResult& result) {
    return result.certainty == client::Certainty::done && result.outcome.status == kvstore::Status::ok;
}

}  // namespace

void LockService::get(std::size_t caller, const std::string& key, Done done) {
    cluster_.get(caller, key, std::move(done));
}
void LockService::put(std::size_t caller, const std::string& key, const std::string& value, Done done) {
    cluster_.put(caller, key, value, std::move(done));
}
void LockService::del(std::size_t caller, const std::string& key, Done done) {
    cluster_.del(caller, key, std::move(done));
}

void LockService::cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
                      const std::string& value, Done done) {
    Section section{caller, bytes_of(key), std::nullopt, bytes_of(value)};
    if (expect) {
        section.expect = bytes_of(*expect);
    }
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, section = std::move(section), done = std::move(done)] { done(run(section)); });
}

void LockService::pause_next_holder(std::uint64_t ms) {
    const std::lock_guard lock(mutex_);
    pause_ms_ = ms;
}

void LockService::close() {
    std::list<std::thread> threads;
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
        threads.swap(threads_);
    }
    closed_.notify_all();
    for (std::thread& thread : threads) {
        thread.join();
    }
}

bool LockService::sleep(std::uint64_t ms) {
    std::unique_lock lock(mutex_);
    return !closed_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return closing_; });
}

void LockService::pause_if_told() {
    std::uint64_t ms = 0;
    {
        const std::lock_guard lock(mutex_);
        ms = std::exchange(pause_ms_, 0);
    }
    if (ms != 0) {
        (void)sleep(ms);
    }
}

Ending LockService::run(const Section& section) {
    client::Client& client = cluster_.client(section.caller);
    const client::WriteResult granted = client.write_sync(kvstore::LeaseGrant{workload_.lock_ttl_ms});
    if (!is_done(granted)) {
        return ending_with(Operation::Status::fail, false);
    }
    const kvstore::LeaseId lease(kvstore::decode_count(granted.outcome.result).value_or(0));
    const Ending ending = hold(client, section, lease);
    (void)client.write_sync(kvstore::LeaseRevoke{lease});
    return ending;
}

std::uint64_t LockService::acquire(client::Client& client, const Bytes& name, kvstore::LeaseId lease) {
    const client::WriteResult entered = client.write_sync(kvstore::LockAcquire{name, lease, {}});
    if (!is_done(entered)) {
        return 0;
    }
    std::uint64_t token = kvstore::decode_lock_place(entered.outcome.result).value_or(kvstore::LockPlace{}).token;
    while (token == 0 && sleep(poll_ms)) {
        const client::ReadResult read = client.read_sync(kvstore::LockQuery{name});
        const auto report = kvstore::decode_lock_report(read.result);
        if (!read.ok || !report) {
            return 0;
        }
        const auto place = std::find_if(report->queue.begin(), report->queue.end(),
                                        [&](const kvstore::LockWaiter& waiter) { return waiter.lease == lease; });
        if (place == report->queue.end()) {
            return 0;
        }
        token = place == report->queue.begin() ? report->token : 0;
        if (token == 0) {
            (void)client.write_sync(kvstore::LeaseKeepAlive{lease});  // it waits its turn, however long that takes
        }
    }
    return token;
}

// What is refused before the put is surely not applied; what a fence refuses neither, whatever the value is meanwhile.
Ending LockService::hold(client::Client& client, const Section& section, kvstore::LeaseId lease) {
    Bytes name = bytes_of("lock/");
    name.insert(name.end(), section.key.begin(), section.key.end());
    const std::uint64_t token = acquire(client, name, lease);
    if (token == 0) {
        return ending_with(Operation::Status::fail, false);
    }
    kvstore::Range range;
    range.begin = section.key;
    const client::ReadResult read = client.read_sync(std::move(range));
    if (!read.ok) {
        return ending_with(Operation::Status::fail, false);
    }
    const std::optional<Bytes> value =
        read.range.items.empty() ? std::nullopt : std::optional(read.range.items.front().value);
    if (value != section.expect) {
        return ending_with(Operation::Status::ok, false);
    }
    pause_if_told();
    kvstore::Put put{section.key, section.value};
    if (workload_.cas_by == CasBy::fenced_lock) {
        put.fence = kvstore::Fence{name, token};
    }
    const client::WriteResult written = client.write_sync(std::move(put));
    if (written.certainty == client::Certainty::maybe_applied) {
        return ending_with(Operation::Status::unknown, true);
    }
    return is_done(written) ? ending_with(Operation::Status::ok, true) : ending_with(Operation::Status::fail, false);
}

}  // namespace loyal::lab
