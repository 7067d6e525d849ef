// SPDX-License-Identifier: PostgreSQL
pragma solidity ^0.8.24;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// The platform's tickets as tokens. An id is minted once; after that the call reverts.
contract Ticket is ERC721, AccessControl {
	bytes32 public constant MINTER = keccak256("MINTER");

	constructor(address minter) ERC721("Ticket", "TKT") {
		_grantRole(DEFAULT_ADMIN_ROLE, msg.sender);
		_grantRole(MINTER, minter);
	}

	function mint(address to, uint256 id) external onlyRole(MINTER) {
		_mint(to, id);
	}

	function supportsInterface(bytes4 id) public view override(ERC721, AccessControl) returns (bool) {
		return super.supportsInterface(id);
	}
}
