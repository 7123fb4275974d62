// Leaves somebody out: as primary it never proposes the victim's envelopes, as backup it does not hand them over, and
// it does not hear the victim's reads. Everything else is served at once, so that only fairness (T5) and the other
// replicas' answers help. The victim is a client (client:NAME, client:HEX) or all keys with a prefix (key:PREFIX, or
// just PREFIX).
#include <algorithm>

#include "kvstore/operation.h"
#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

constexpr std::string_view client_mark = "client:";
constexpr std::string_view key_mark = "key:";

struct Victim {
    std::set<consensus::ClientId> clients;
    Bytes key_prefix;  // empty: a client is meant
};

// Keys and names of locks that an operation speaks of.
struct KeysOf {
    std::vector<Bytes>& keys;

    void operator()(const kvstore::Put& put) const { keys.push_back(put.key); }
    void operator()(const kvstore::Delete& erase) const { keys.push_back(erase.key); }
    void operator()(const kvstore::CompareAndSet& cas) const { keys.push_back(cas.key); }
    void operator()(const kvstore::Range& range) const { keys.push_back(range.begin); }
    void operator()(const kvstore::Txn& txn) const {
        for (const kvstore::Compare& compare : txn.compares) {
            keys.push_back(compare.key);
        }
        for (const auto* branch : {&txn.then, &txn.otherwise}) {
            for (const kvstore::TxnOperation& operation : *branch) {
                std::visit(*this, operation);
            }
        }
    }
    void operator()(const kvstore::LockAcquire& acquire) const { keys.push_back(acquire.name); }
    void operator()(const kvstore::LockRelease& release) const { keys.push_back(release.name); }
    void operator()(const kvstore::LockQuery& query) const { keys.push_back(query.name); }
    void operator()(const auto&) const {}  // leases, clients and compactions have none
};

std::vector<Bytes> keys_of(const kvstore::Operation& operation) {
    std::vector<Bytes> keys;
    std::visit(KeysOf{keys}, operation);
    return keys;
}

class Censor final : public FaultModel {
 public:
    explicit Censor(Victim victim) : victim_(std::move(victim)) {}

    [[nodiscard]] std::string name() const override { return "censor"; }
    [[nodiscard]] std::vector<crypto::Verified<consensus::Envelope>> submit(
        crypto::Verified<consensus::Envelope> envelope) override {
        return is_victims(*envelope) ? std::vector<crypto::Verified<consensus::Envelope>>() : one(std::move(envelope));
    }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        const auto* relay = std::get_if<consensus::Relay>(&send.message);
        return relay != nullptr && is_victims(relay->envelope) ? std::vector<PeerSend>() : one(std::move(send));
    }
    [[nodiscard]] bool from_client(const consensus::ClientId& client, const wire::Read& request) override {
        return !victim_.clients.contains(client) && !touches_victim(kvstore::to_operation(request.query));
    }

 private:
    [[nodiscard]] bool is_victims(const Bytes& key) const {
        const Bytes& prefix = victim_.key_prefix;
        return !prefix.empty() && key.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), key.begin());
    }
    [[nodiscard]] bool is_victims(const consensus::Envelope& envelope) const {
        if (victim_.clients.contains(envelope.client)) {
            return true;
        }
        const auto operations = kvstore::decode_operations(envelope.operations, envelope.count);
        return operations && std::any_of(operations->begin(), operations->end(),
                                         [this](const auto& operation) { return touches_victim(operation); });
    }
    [[nodiscard]] bool touches_victim(const kvstore::Operation& operation) const {
        const std::vector<Bytes> keys = keys_of(operation);
        return std::any_of(keys.begin(), keys.end(), [this](const Bytes& key) { return is_victims(key); });
    }
    Victim victim_;
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_censor(const FaultContext& context, const std::string& argument) {
    Victim victim;
    if (argument.starts_with(client_mark)) {
        auto clients = clients_named(context, std::string_view(argument).substr(client_mark.size()));
        if (!clients) {
            return tl::unexpected(clients.error());
        }
        victim.clients = std::move(*clients);
    } else {
        const std::string_view text = argument;
        victim.key_prefix = bytes_of(text.starts_with(key_mark) ? text.substr(key_mark.size()) : text);
    }
    return std::make_unique<Censor>(std::move(victim));
}

}  // namespace loyal::replica::faults
