// A Session and replicas that do what the test says: their answers are made here, honestly or not.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "client/session.h"
#include "crypto/identity.h"

namespace loyal::client::test {

using consensus::FaultModel;
using consensus::Height;
using consensus::Hlc;
using consensus::ReplicaId;
using consensus::Seq;
using consensus::View;

inline constexpr std::uint64_t cluster_wall_ms = 1'700'000'000'000;

[[nodiscard]] consensus::Membership membership_of(std::size_t n, FaultModel model = FaultModel::byzantine);
[[nodiscard]] kvstore::Put put(std::string_view key, std::string_view value = "v");
[[nodiscard]] kvstore::Range key_range(std::string_view key);

class ScriptedCluster {
 public:
    explicit ScriptedCluster(std::size_t n = 4, FaultModel model = FaultModel::byzantine);

    // ---- The client's side
    std::size_t write(kvstore::Operation operation);  // index into `writes`
    std::size_t read(kvstore::Query query, std::optional<ReplicaId> stale_from = {});
    std::vector<std::optional<WriteResult>> writes;
    std::vector<std::optional<ReadResult>> reads;

    // ---- Links and time
    void connect(std::size_t replica, std::uint64_t view = 0, std::uint64_t wall_ms = cluster_wall_ms);
    void connect_all(std::uint64_t view = 0);
    void disconnect(std::size_t replica);
    void advance(std::uint64_t ms);  // in ticks of 10 ms

    // ---- What was sent
    struct Sent {
        std::size_t to = 0;
        wire::ClientMessage message;
    };
    [[nodiscard]] std::vector<Sent> take();
    [[nodiscard]] std::vector<std::pair<std::size_t, consensus::Envelope>> take_envelopes();
    [[nodiscard]] std::vector<std::pair<std::size_t, wire::Read>> take_reads();

    // ---- Answers
    [[nodiscard]] static kvstore::Outcome outcome(Seq seq, kvstore::Status status = kvstore::Status::ok,
                                                  std::uint64_t height = 10,
                                                  std::uint64_t wall_ms = cluster_wall_ms + 1);
    void deliver(std::size_t from, const wire::ReplicaMessage& message);
    void reply(std::size_t from, const consensus::Envelope& envelope, const kvstore::Outcome& outcome, bool full = true,
               std::uint64_t view = 0);
    // The same outcome for every operation of the envelope.
    void reply_all_operations(std::size_t from, const consensus::Envelope& envelope,
                              kvstore::Status status = kvstore::Status::ok, std::uint64_t height = 10,
                              std::uint64_t wall_ms = cluster_wall_ms + 1);
    void refuse(std::size_t from, const consensus::Envelope& envelope, wire::RefusalCode code);
    void refuse_read(std::size_t from, const wire::Read& read, wire::RefusalCode code);
    [[nodiscard]] static Bytes value_result(std::string_view key, std::string_view value);
    // With Status::ok, and with any other.
    void answer_read(std::size_t from, const wire::Read& read, const Bytes& result, std::uint64_t executed,
                     std::uint64_t lock, bool full = true);
    void answer_query(std::size_t from, const wire::Read& read, const kvstore::QueryAnswer& answer,
                      std::uint64_t executed, std::uint64_t lock, bool full = true);

    consensus::Membership membership;
    crypto::Identity identity;
    std::uint64_t now_ms = 5'000;
    Session session;
};

}  // namespace loyal::client::test
