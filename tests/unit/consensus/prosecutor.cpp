#include "tests/unit/consensus/prosecutor.h"

#include <algorithm>

#include "consensus/evidence_parts.h"

namespace loyal::consensus::test {

void Prosecutor::hear(const PeerMessage& message) {
    if (const auto* propose = std::get_if<Propose>(&message)) {
        hear(propose->block);
    } else if (const auto* vote = std::get_if<Vote>(&message)) {
        votes_[vote->voter].emplace(vote_content(*vote), *vote);
    } else if (const auto* change = std::get_if<ViewChange>(&message)) {
        hear(*change);
    } else if (const auto* new_view = std::get_if<NewView>(&message)) {
        hear(*new_view);
    } else if (const auto* blocks = std::get_if<Blocks>(&message)) {
        for (const BlockPtr& block : blocks->blocks) {
            hear(block);
        }
        for (const auto& certificate : {blocks->commit, blocks->prepare}) {
            if (certificate) {
                hear(*certificate);
            }
        }
    }
}

void Prosecutor::hear(const BlockPtr& block) {
    headers_.emplace(block->id, block->header);
    blocks_.emplace(block->id, block);
}

void Prosecutor::hear(const Certificate& certificate) {
    for (const Vote& vote : certificate.votes) {
        votes_[vote.voter].emplace(vote_content(vote), vote);
    }
}

void Prosecutor::hear(const ViewChange& change) {
    changes_[change.voter].emplace(view_change_content(change), change);
    if (change.certificate) {
        hear(*change.certificate);
    }
}

void Prosecutor::hear(const NewView& message) {
    new_views_[message.leader].emplace(new_view_content(message), message);
    for (const ViewChange& change : message.view_changes) {
        hear(change);
    }
    if (message.certificate) {
        hear(*message.certificate);
    }
}

void Prosecutor::keep_proven(Evidence evidence, std::vector<Evidence>& found) const {
    if (check_evidence(verifier_, evidence)) {
        found.push_back(std::move(evidence));
    }
}

void Prosecutor::judge_votes(const Vote& one, const Vote& other, std::vector<Evidence>& found) const {
    keep_proven(evidence_of_votes(one, other, {}), found);
    for (const auto& [low, high] : {std::pair(one, other), std::pair(other, one)}) {
        for (const BlockRef& head : heads_of(high)) {
            // Every stretch of the chain below the head.
            std::vector<Header> path;
            crypto::Digest at = head.id;
            while (path.size() < evidence_path_max && headers_.contains(at)) {
                path.insert(path.begin(), headers_.at(at));
                at = path.front().parent;
                const auto lows = heads_of(low);
                if (std::any_of(lows.begin(), lows.end(),
                                [&](const BlockRef& each) { return each.height.next() == path.front().height; })) {
                    keep_proven(evidence_of_votes(one, other, path), found);
                }
            }
        }
    }
}

std::vector<Evidence> Prosecutor::convictions() const {
    std::vector<Evidence> found;
    const std::size_t n = verifier_.membership().replicas.size();
    for (auto one = blocks_.begin(); one != blocks_.end(); ++one) {
        const Block& block = *one->second;
        if (auto bad = evidence_of_body(verifier_, block.header, block.signature, *block.body)) {
            found.push_back(std::move(*bad));
        }
        for (auto other = blocks_.begin(); other != one; ++other) {
            keep_proven(evidence_of_proposals(leader_of(block.header.view, n), block, *other->second), found);
        }
    }
    for (const auto& [voter, votes] : votes_) {
        for (auto one = votes.begin(); one != votes.end(); ++one) {
            for (auto other = votes.begin(); other != one; ++other) {
                if (one->second.view == other->second.view) {
                    judge_votes(one->second, other->second, found);
                }
            }
        }
    }
    for (const auto& [voter, changes] : changes_) {
        for (auto one = changes.begin(); one != changes.end(); ++one) {
            for (auto other = changes.begin(); other != one; ++other) {
                keep_proven(evidence_of_view_changes(one->second, other->second), found);
            }
            const auto votes = votes_.find(voter);
            for (const auto& entry : votes == votes_.end() ? std::map<Bytes, Vote>() : votes->second) {
                if (auto hidden = evidence_of_hiding(one->second, entry.second)) {
                    keep_proven(std::move(*hidden), found);
                }
            }
        }
    }
    for (const auto& [leader, messages] : new_views_) {
        for (auto one = messages.begin(); one != messages.end(); ++one) {
            if (auto bad = evidence_in_refused(verifier_, one->second)) {
                found.push_back(std::move(*bad));
            }
            for (auto other = messages.begin(); other != one; ++other) {
                keep_proven(evidence_of_new_views(one->second, other->second), found);
            }
        }
    }
    return found;
}

std::vector<Bytes> Prosecutor::statements() const {
    std::vector<Bytes> all;
    for (const auto& [id, block] : blocks_) {
        all.push_back(encode_signed_header(*block));
        all.push_back(*block->body);
    }
    for (const auto& [voter, votes] : votes_) {
        for (const auto& [content, vote] : votes) {
            all.push_back(encode_vote(vote));
        }
    }
    for (const auto& [voter, changes] : changes_) {
        for (const auto& [content, change] : changes) {
            all.push_back(evidence_of_view_changes(change, change).first);
        }
    }
    for (const auto& [leader, messages] : new_views_) {
        for (const auto& [content, message] : messages) {
            all.push_back(evidence_of_new_views(message, message).first);
        }
    }
    return all;
}

std::vector<Bytes> Prosecutor::headers() const {
    std::vector<Bytes> all;
    for (const auto& [id, header] : headers_) {
        all.push_back(encode_header(header));
    }
    return all;
}

}  // namespace loyal::consensus::test
