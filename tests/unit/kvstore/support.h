// What the tests of kvstore/ share: a temporary folder, a chain of blocks, and envelopes of a client.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/limits.h"
#include "consensus/input_effect.h"
#include "consensus/messages.h"
#include "kvstore/consensus_log.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/operation.h"
#include "kvstore/state_machine.h"

namespace loyal::kvstore::test {

class TemporaryFolder {
 public:
    TemporaryFolder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "loyal-kvstore-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
    std::filesystem::path path_;
};

// The value of a Result, or the end of the test with its error.
template <class T>
T must(Result<T> result) {
    if (!result) {
        throw std::runtime_error("unexpected error: " + result.error().message);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

inline std::unique_ptr<LmdbStore> open_kv(const std::filesystem::path& folder) {
    return must(LmdbStore::open({folder / "kv", StateMachine::state_tables(), true}));
}
inline std::unique_ptr<LmdbStore> open_log_store(const std::filesystem::path& folder) {
    return must(LmdbStore::open({folder / "log", ConsensusLog::log_tables(), false}));
}

inline consensus::ClusterContext test_context() {
    return {crypto::digest_of("test", view_of("cluster")), consensus::Epoch(0)};
}

inline crypto::PublicKey key_of(char name) {
    crypto::PublicKey key;
    key.bytes.fill(static_cast<std::uint8_t>(name));
    return key;
}
inline consensus::ClientId client_of(char name) {
    return consensus::client_id_of(key_of(name));
}

inline constexpr std::uint64_t start_ms = 1'700'000'000'000;
inline constexpr std::uint64_t horizon_ms = limits::session_horizon_ms;

struct Submission {
    crypto::PublicKey key = key_of('a');
    std::uint64_t session = 1;
    std::uint64_t seq0 = 1;
    std::vector<Operation> operations;
    consensus::Hlc not_after{start_ms + 60'000, std::uint16_t{0}};
    std::uint64_t ack_low = 0;
};
inline consensus::Envelope envelope_of(const Submission& from) {
    consensus::EnvelopeContent content;
    content.key = from.key;
    content.session = consensus::SessionId(from.session);
    content.seq0 = consensus::Seq(from.seq0);
    content.count = static_cast<std::uint16_t>(from.operations.size());
    content.not_after = from.not_after;
    content.ack_low = consensus::Seq(from.ack_low);
    content.operations = encode_operations(from.operations);
    const auto context = test_context();
    auto bytes = std::make_shared<const Bytes>(make_envelope(content, context.cluster_id, context.epoch, nullptr));
    return must(consensus::parse_envelope(std::move(bytes)));
}

inline Put put(std::string_view key, std::string_view value) {
    return {bytes_of(key), bytes_of(value)};
}
inline Delete del(std::string_view key) {
    return {bytes_of(key)};
}
inline Range get(std::string_view key) {
    Range range;
    range.begin = bytes_of(key);
    return range;
}
inline Range between(std::string_view begin, std::string_view end) {
    Range range = get(begin);
    range.end = bytes_of(end);
    return range;
}
inline CompareAndSet cas(std::string_view key, std::optional<std::string> expect, std::optional<std::string> value) {
    CompareAndSet operation;
    operation.key = bytes_of(key);
    if (expect) {
        operation.expect = bytes_of(*expect);
    }
    if (value) {
        operation.value = bytes_of(*value);
    }
    return operation;
}

// A block on `parent`, or on genesis.
inline consensus::BlockPtr block_on(const consensus::BlockPtr& parent,
                                    const std::vector<consensus::Envelope>& envelopes, std::uint64_t wall_ms,
                                    consensus::View view = consensus::View(0)) {
    const auto context = test_context();
    const auto genesis = consensus::genesis_block(context);
    consensus::Header header;
    header.view = view;
    header.height = parent ? parent->header.height.next() : consensus::Height(1);
    header.parent = parent ? parent->id : genesis.id;
    const auto body = std::make_shared<const Bytes>(consensus::make_body(envelopes));
    header.body_root = consensus::body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.envelopes = static_cast<std::uint32_t>(envelopes.size());
    header.flags = envelopes.empty() ? consensus::flag_empty : consensus::flag_none;
    header.hlc = consensus::Hlc(wall_ms, std::uint16_t{0});
    return must(consensus::make_block(context, header, {}, body));
}

// Few enough sessions to fill them all in one block.
inline constexpr std::size_t sessions_max = 256;
inline constexpr std::size_t operations_max = 3 * limits::session_window;
inline StateMachineOptions two_clients(std::vector<std::string> rules_off = {}) {
    StateMachineOptions options;
    options.session_bounds = {sessions_max, operations_max};
    options.clients[client_of('a')] = client_with("a", key_of('a'), right_read | right_write);
    options.clients[client_of('b')] = client_with("b", key_of('b'), right_read | right_write);
    options.clients[client_of('r')] = client_with("r", key_of('r'), right_read);
    options.clients[client_of('w')] = client_with("w", key_of('w'), right_write);
    options.rules_off = std::move(rules_off);
    return options;
}

// A state machine over LMDB in a folder of its own that executes blocks of a growing chain.
class Machine {
 public:
    explicit Machine(StateMachineOptions options = two_clients()) : options_(std::move(options)) { open(); }

    void open() {
        store_ = open_kv(folder_.path());
        machine_ = must(StateMachine::open(*store_, options_));
    }
    // What a crash of the process leaves: the store.
    void reopen() {
        machine_.reset();
        store_.reset();
        open();
        chain_.resize(machine_->executed().value);
    }
    void close() {
        machine_.reset();
        store_.reset();
    }
    ExecutedBlock execute(const std::vector<consensus::Envelope>& envelopes) {
        return execute_at(envelopes, ++now_ms_);
    }
    ExecutedBlock execute_at(const std::vector<consensus::Envelope>& envelopes, std::uint64_t wall_ms) {
        now_ms_ = std::max(now_ms_, wall_ms);
        return execute(block_on(chain_.empty() ? nullptr : chain_.back(), envelopes, wall_ms));
    }
    ExecutedBlock execute(const consensus::BlockPtr& block) {
        chain_.push_back(block);
        return must(machine_->execute(*block));
    }
    // Executes one envelope alone and gives its outcomes.
    std::vector<Outcome> submit(const Submission& submission) {
        auto executed = execute({envelope_of(submission)});
        return executed.replies.empty() ? std::vector<Outcome>() : executed.replies.front().outcomes;
    }
    Outcome one(const Operation& operation) {
        Submission submission;
        submission.seq0 = next_seq_++;
        submission.session = 99;
        submission.operations = {operation};
        submission.not_after = consensus::Hlc(now_ms_ + 60'000, std::uint16_t{0});
        submission.ack_low = submission.seq0;
        return submit(submission).at(0);
    }
    void flush() {
        if (machine_->freeze()) {
            must(machine_->write_frozen(Durability::synced));
            machine_->drop_frozen();
        }
    }
    QueryAnswer ask(const Query& query) const { return must(decode_query_answer(must(machine_->read(query)).result)); }
    RangeResult read(const Range& range) const { return must(decode_range_result(ask(range).result)); }
    std::optional<std::string> value(std::string_view key) const {
        const auto found = read(get(key));
        return found.items.empty() ? std::nullopt : std::optional(string_of(found.items[0].value));
    }

    StateMachine& operator*() { return *machine_; }
    StateMachine* operator->() { return machine_.get(); }
    LmdbStore& store() { return *store_; }
    [[nodiscard]] const std::vector<consensus::BlockPtr>& chain() const { return chain_; }
    [[nodiscard]] std::filesystem::path data_file() const { return folder_.path() / "kv" / "data.mdb"; }
    [[nodiscard]] std::uint64_t now_ms() const { return now_ms_; }

 private:
    TemporaryFolder folder_;
    StateMachineOptions options_;
    std::unique_ptr<LmdbStore> store_;
    std::unique_ptr<StateMachine> machine_;
    std::vector<consensus::BlockPtr> chain_;
    std::uint64_t now_ms_ = start_ms;
    std::uint64_t next_seq_ = 1;
};

inline std::vector<std::string> keys_of(const RangeResult& result) {
    std::vector<std::string> keys;
    for (const Item& item : result.items) {
        keys.push_back(string_of(item.key));
    }
    return keys;
}

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace loyal::kvstore::test
