#include "client/lab/evidence_words.h"

#include <fmt/format.h>

#include "consensus/evidence_parts.h"

namespace loyal::lab {

namespace {

std::string brief(const crypto::Digest& digest) {
    return digest.hex().substr(0, 8) + "…";
}

std::string words_of(const consensus::BlockRef& block) {
    return fmt::format("height {}, block {}", block.height.value, brief(block.id));
}

std::string words_of(const consensus::Header& header) {
    return fmt::format("proposal: view {}, height {}, on block {}, body {} of {} envelopes, time {}.{}",
                       header.view.value, header.height.value, brief(header.parent), brief(header.body_root),
                       header.envelopes, header.hlc.wall_ms(), header.hlc.counter());
}

std::string words_of(const consensus::Vote& vote) {
    return fmt::format("vote of view {}: prepare {}{}", vote.view.value, words_of(vote.prep),
                       vote.has_commit() ? "; commit " + words_of(vote.com) : "");
}

std::string words_of(const consensus::ViewChange& change) {
    return fmt::format("view change to {}: {}; last prepare of view {}, {}", change.new_view.value,
                       change.lock.view.is_genesis()
                           ? "no lock"
                           : fmt::format("lock of view {}, {}", change.lock.view.value, words_of(change.lock.block)),
                       change.last_prep.view.value, words_of(change.last_prep.block));
}

std::string words_of(const consensus::NewView& message) {
    return fmt::format("new view {}: starts from {}, with {} view changes", message.view.value,
                       words_of(message.base.block), message.view_changes.size());
}

}  // namespace

std::vector<std::string> words_of(const consensus::Evidence& evidence) {
    std::vector<std::string> words;
    for (const Bytes* bytes : {&evidence.first, &evidence.second}) {
        const bool proposals = evidence.kind == consensus::EvidenceKind::two_proposals ||
                               evidence.kind == consensus::EvidenceKind::bad_proposal;
        if (proposals) {
            if (const auto statement = consensus::read_signed_header(*bytes)) {
                words.push_back(words_of(statement->header));
            } else if (!bytes->empty() && bytes == &evidence.second) {
                words.push_back(fmt::format("its body, {} bytes", bytes->size()));
            }
        } else if (const auto vote = consensus::decode_vote(*bytes)) {
            words.push_back(words_of(*vote));
        } else if (const auto change = consensus::decode_view_change(*bytes)) {
            words.push_back(words_of(*change));
        } else if (const auto message = consensus::decode_new_view(*bytes)) {
            words.push_back(words_of(*message));
        }
    }
    return words;
}

}  // namespace loyal::lab
