// Accountability: what verified messages prove against their signers (PROTOCOL.md §16; PeerReview, SOSP'07). Looks at
// everything signed that passes, also at what others carry along (votes in certificates, VIEW-CHANGEs in a NEW-VIEW):
// who tells different things to different replicas is found out when these two talk to each other. Accuses only of what
// check_evidence accepts, so that whoever reads the proof later comes to the same verdict. Changes no vote and gates no
// message; E1 against the leader of the current view asks for the next one.
#include <algorithm>
#include <utility>

#include "consensus/core_state.h"
#include "consensus/evidence_parts.h"

namespace loyal::consensus {

void Core::State::accuse(const Evidence& evidence) {
    if (crash_mode || is_self(evidence.culprit)) {
        return;
    }
    const auto subject = subject_of(evidence);
    if (!subject || !accused.wants(evidence.culprit, evidence.kind, subject->view) ||
        !check_evidence(verifier, evidence)) {
        return;
    }
    accused.add(evidence.culprit, evidence.kind, subject->view);
    to_write_lazily.emplace_back(EvidenceRecord{evidence});
    emit(Accuse{evidence});
}

// A replica that halted decides nothing more; what it knows of others' guilt is worth most just then.
void Core::State::write_evidence() {
    std::vector<LogRecord> records;
    for (LogRecord& record : to_write_lazily) {
        if (std::holds_alternative<EvidenceRecord>(record)) {
            records.push_back(std::move(record));
        }
    }
    if (records.empty()) {
        return;
    }
    std::erase_if(to_write_lazily, [](const LogRecord& r) { return std::holds_alternative<EvidenceRecord>(r); });
    last_persist = next_persist();
    in_flight.emplace(last_persist, written);
    emit(Persist{last_persist, std::move(records)});
}

// Nothing: unknown here.
const Header* Core::State::known_header(const BlockRef& block) const {
    if (const BlockTree::Node* node = tree.find(block.id); node != nullptr) {
        return &node->header;
    }
    const auto kept = held.find(block.height);
    return kept != held.end() && kept->second.block->id == block.id ? &kept->second.block->header : nullptr;
}

// Headers above `low` up to `high` when they are known and lead elsewhere.
std::vector<Header> Core::State::diverging_path(const BlockRef& low, const BlockRef& high) const {
    std::vector<Header> path;
    BlockRef at = high;
    while (at.height > low.height) {
        const Header* header = known_header(at);
        if (header == nullptr || header->height != at.height) {
            return {};
        }
        path.push_back(*header);
        at = {at.height.minus(1), header->parent};
    }
    if (at.id == low.id) {
        return {};
    }
    std::reverse(path.begin(), path.end());
    return path;
}

// E2. The heads that are nearest come first: of several proofs the shortest one counts.
void Core::State::compare_votes(const Vote& one, const Vote& other) {
    if (one == other) {
        return;
    }
    if (equal_height_conflict(one, other)) {
        accuse(evidence_of_votes(one, other, {}));
        return;
    }
    std::vector<std::pair<BlockRef, BlockRef>> pairs;
    for (const BlockRef& head : heads_of(one)) {
        for (const BlockRef& against : heads_of(other)) {
            const auto& [low, high] = std::minmax(head, against);
            if (low.height < high.height && high.height.value - low.height.value <= evidence_path_max) {
                pairs.emplace_back(low, high);
            }
        }
    }
    std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
        return a.second.height.value - a.first.height.value < b.second.height.value - b.first.height.value;
    });
    for (const auto& [low, high] : pairs) {
        if (const std::vector<Header> path = diverging_path(low, high); !path.empty()) {
            accuse(evidence_of_votes(one, other, path));
            return;
        }
    }
}

// Against what else its voter is known to have signed.
void Core::State::examine(const Vote& vote) {
    if (crash_mode || is_self(vote.voter)) {
        return;
    }
    if (const auto earlier = votes.of(vote.view, vote.voter)) {
        compare_votes(*earlier, vote);
    }
    if (const auto& change = view_changes[vote.voter.value]) {
        if (const auto hidden = evidence_of_hiding(*change, vote)) {
            accuse(*hidden);
        }
    }
}

void Core::State::examine(const Certificate& certificate) {
    for (const Vote& vote : certificate.votes) {
        examine(vote);
    }
}

void Core::State::examine(const ViewChange& change) {
    if (crash_mode || is_self(change.voter)) {
        return;
    }
    if (const auto& known = view_changes[change.voter.value];
        known && known->new_view == change.new_view && view_change_content(*known) != view_change_content(change)) {
        accuse(evidence_of_view_changes(*known, change));
    }
    for (const Vote& vote : votes.of(change.voter)) {
        if (const auto hidden = evidence_of_hiding(change, vote)) {
            accuse(*hidden);
        }
    }
    if (change.certificate) {
        examine(*change.certificate);
    }
}

void Core::State::examine(const NewView& message) {
    if (crash_mode) {
        return;
    }
    if (new_view && new_view->view == message.view && new_view_content(*new_view) != new_view_content(message)) {
        accuse(evidence_of_new_views(*new_view, message));
    }
    for (const ViewChange& change : message.view_changes) {
        examine(change);
    }
    if (message.certificate) {
        examine(*message.certificate);
    }
}

// A proposal of any view, against the blocks of its height that are known here, committed ones too: a leader that is
// caught is deposed whenever it is caught (V1).
void Core::State::examine(const BlockPtr& block) {
    if (crash_mode) {
        return;
    }
    const Header& header = block->header;
    const auto differs = [&](const BlockPtr& other) {
        return other != nullptr && other->header.view == header.view && other->header.height == header.height &&
               other->id != block->id;
    };
    if (const auto kept = held.find(header.height); kept != held.end() && differs(kept->second.block)) {
        on_equivocation(kept->second.block, block);
    }
    if (const BlockPtr other = tree.find_block(differs)) {
        on_equivocation(other, block);
    }
}

}  // namespace loyal::consensus
