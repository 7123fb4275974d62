#include "client/lab/answers.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/lab/evidence_words.h"
#include "crypto/identity.h"

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::size_t text_bytes_max = 2'000;
constexpr std::size_t digests_max = 1'000, digest_digits = 64;

std::string text_in(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>().substr(0, text_bytes_max)
                                                     : std::string();
}

std::uint64_t number_in(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::uint16_t id_in(const Json& json, const char* key) {
    return static_cast<std::uint16_t>(std::min<std::uint64_t>(number_in(json, key), UINT16_MAX));
}

Bytes bytes_in(const Json& json, const char* key) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string()) {
        return {};
    }
    const auto& text = found->get_ref<const std::string&>();
    Bytes bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        unsigned value = 0;
        const auto parsed = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
        if (parsed.ptr != text.data() + i + 2) {
            return {};
        }
        bytes.push_back(static_cast<std::uint8_t>(value));
    }
    return bytes;
}

// An array, or the array that is an object's field `key`.
const Json& list_in(const Json& json, const char* key) {
    static const Json empty = Json::array();
    if (json.is_array()) {
        return json;
    }
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() && found->is_array() ? *found : empty;
}

// An object of texts by height.
std::map<std::uint64_t, std::string> digests_in(const Json& json, const char* key) {
    std::map<std::uint64_t, std::string> digests;
    const auto found = json.find(key);
    if (found == json.end() || !found->is_object()) {
        return digests;
    }
    for (const auto& [name, digest] : found->items()) {
        std::uint64_t height = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), height);
        if (digest.is_string() && parsed.ec == std::errc() && parsed.ptr == name.data() + name.size() &&
            digests.size() < digests_max) {
            digests[height] = digest.get<std::string>().substr(0, digest_digits);
        }
    }
    return digests;
}

}  // namespace
Sample sample_of_status(std::uint16_t replica, double at_s, const std::string& json) {
    Sample sample;
    sample.at_s = at_s;
    sample.replica = replica;
    const Json said = Json::parse(json, nullptr, false);
    if (!said.is_object()) {
        return sample;
    }
    sample.up = true;
    sample.role = text_in(said, "role");
    sample.view = number_in(said, "view");
    sample.executed = number_in(said, "executed");
    sample.digest = text_in(said, "state_digest");
    sample.fault = text_in(said, "fault");
    sample.recent_digests = digests_in(said, "recent_digests");
    if (const auto detector = said.find("detector"); detector != said.end() && detector->is_object()) {
        sample.time_out = text_in(*detector, "last_time_out");
    }
    const auto suspicion = said.find("suspicion");
    if (suspicion != said.end() && suspicion->is_object()) {
        for (const auto& [peer, phi] : suspicion->items()) {
            const bool digits =
                !peer.empty() && peer.size() < 4 && peer.find_first_not_of("0123456789") == std::string::npos;
            if (digits && phi.is_number()) {
                sample.suspicion[static_cast<std::uint16_t>(std::stoul(peer))] = phi.get<double>();
            }
        }
    }
    return sample;
}

std::vector<HeldProof> proofs_of_answer(const std::string& json) {
    std::vector<HeldProof> all;
    const Json said = Json::parse(json, nullptr, false);
    for (const Json& each : list_in(said, "evidence")) {
        HeldProof proof;
        proof.id = text_in(each, "id");
        const std::string kind = text_in(each, "kind");
        if (kind.size() != 2 || kind[0] != 'E' || kind[1] < '1' || kind[1] > '7') {
            continue;
        }
        proof.evidence.kind = static_cast<consensus::EvidenceKind>(kind[1] - '0');
        proof.evidence.culprit = consensus::ReplicaId(id_in(each, "culprit"));
        proof.evidence.first = bytes_in(each, "first");
        proof.evidence.second = bytes_in(each, "second");
        proof.evidence.path = bytes_in(each, "path");
        all.push_back(std::move(proof));
    }
    return all;
}

EvidenceFound examine(const HeldProof& proof, std::uint16_t by, double at_s, const consensus::Membership& membership) {
    EvidenceFound found;
    found.at_s = at_s;
    found.by = by;
    found.culprit = proof.evidence.culprit.value;
    found.kind = consensus::name_of(proof.evidence.kind);
    found.id = proof.id;
    found.explanation = consensus::explanation_of(proof.evidence.kind);
    found.statements = words_of(proof.evidence);
    const crypto::Ed25519Verifier signatures;
    const consensus::MessageVerifier verifier(membership, signatures);
    found.verified = consensus::check_evidence(verifier, proof.evidence).has_value();
    return found;
}

std::vector<TraceEntry> trace_of_answer(std::uint16_t replica, const std::string& json) {
    std::vector<TraceEntry> all;
    const Json said = Json::parse(json, nullptr, false);
    for (const Json& each : list_in(said, "messages")) {
        if (!each.is_object()) {
            continue;
        }
        TraceEntry entry;
        entry.sent = text_in(each, "dir") == "sent" || text_in(each, "dir") == "out";
        entry.at_us = number_in(each, "us");
        entry.self = replica;
        entry.peer = id_in(each, "peer");
        entry.kind = text_in(each, "kind");
        entry.view = number_in(each, "view");
        entry.height = number_in(each, "height");
        entry.detail = text_in(each, "detail");
        all.push_back(std::move(entry));
    }
    return all;
}

std::vector<Message> messages_of(std::vector<TraceEntry> entries, std::uint64_t start_ns, double from_s, double to_s,
                                 std::size_t count_max) {
    std::stable_sort(entries.begin(), entries.end(),
                     [](const TraceEntry& a, const TraceEntry& b) { return a.at_us < b.at_us; });
    const auto seconds_of = [&](std::uint64_t us) {
        return (static_cast<double>(us) * 1000.0 - static_cast<double>(start_ns)) * 1e-9;
    };
    using Identity = std::tuple<std::uint16_t, std::uint16_t, std::string, std::uint64_t, std::uint64_t, std::string>;
    std::map<Identity, std::deque<std::size_t>> under_way;
    std::vector<Message> messages;
    for (TraceEntry& entry : entries) {
        const double at_s = seconds_of(entry.at_us);
        const std::uint16_t from = entry.sent ? entry.self : entry.peer, to = entry.sent ? entry.peer : entry.self;
        const Identity identity{from, to, entry.kind, entry.view, entry.height, entry.detail};
        if (!entry.sent) {
            auto& waiting = under_way[identity];
            if (!waiting.empty()) {
                messages[waiting.front()].received_s = at_s;
                waiting.pop_front();
            }
            continue;  // arrived from before the window, or its sender was not asked
        }
        if (at_s < from_s || at_s > to_s || messages.size() >= count_max) {
            continue;
        }
        under_way[identity].push_back(messages.size());
        messages.push_back({at_s, std::nullopt, from, to, entry.kind, entry.view, entry.height, entry.detail});
    }
    return messages;
}

}  // namespace loyal::lab
