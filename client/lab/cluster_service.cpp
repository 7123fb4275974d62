#include "client/lab/cluster_service.h"

namespace loyal::lab {

namespace {

Ending ending_of(const client::WriteResult& result) {
    Ending ending;
    switch (result.certainty) {
        case client::Certainty::not_applied: ending.status = Operation::Status::fail; break;
        case client::Certainty::maybe_applied: ending.status = Operation::Status::unknown; break;
        case client::Certainty::done:
            switch (result.outcome.status) {
                case kvstore::Status::ok:
                    ending.status = Operation::Status::ok;
                    ending.applied = true;
                    break;
                case kvstore::Status::not_found:
                case kvstore::Status::mismatch: ending.status = Operation::Status::ok; break;
                case kvstore::Status::invalid:
                case kvstore::Status::expired:
                case kvstore::Status::beyond_horizon:
                case kvstore::Status::window:
                case kvstore::Status::no_session:
                case kvstore::Status::denied:
                case kvstore::Status::too_large:
                case kvstore::Status::compacted:
                case kvstore::Status::future_revision:
                case kvstore::Status::no_lease:
                case kvstore::Status::fenced:
                case kvstore::Status::no_lock:
                case kvstore::Status::exhausted:
                case kvstore::Status::no_client:
                case kvstore::Status::exists:
                case kvstore::Status::last_operator: ending.status = Operation::Status::fail; break;
            }
            break;
    }
    return ending;
}

// A read changes nothing: one without an answer failed.
Ending ending_of(const client::ReadResult& result) {
    Ending ending;
    ending.status = result.ok ? Operation::Status::ok : Operation::Status::fail;
    if (result.ok && !result.range.items.empty()) {
        ending.out = string_of(result.range.items.front().value);
    }
    return ending;
}

}  // namespace

void ClusterService::get(std::size_t caller, const std::string& key, Done done) {
    kvstore::Range range;
    range.begin = bytes_of(key);
    client(caller).read(std::move(range),
                        [done = std::move(done)](const client::ReadResult& result) { done(ending_of(result)); });
}

void ClusterService::put(std::size_t caller, const std::string& key, const std::string& value, Done done) {
    client(caller).write(kvstore::Put{bytes_of(key), bytes_of(value)},
                         [done = std::move(done)](const client::WriteResult& result) { done(ending_of(result)); });
}

void ClusterService::del(std::size_t caller, const std::string& key, Done done) {
    client(caller).write(kvstore::Delete{bytes_of(key)},
                         [done = std::move(done)](const client::WriteResult& result) { done(ending_of(result)); });
}

void ClusterService::cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
                         const std::string& value, Done done) {
    kvstore::CompareAndSet operation{bytes_of(key), std::nullopt, bytes_of(value)};
    if (expect) {
        operation.expect = bytes_of(*expect);
    }
    client(caller).write(std::move(operation),
                         [done = std::move(done)](const client::WriteResult& result) { done(ending_of(result)); });
}

void ClusterService::close() {
    for (const auto& client : clients_) {
        client->close();
    }
}

}  // namespace loyal::lab
